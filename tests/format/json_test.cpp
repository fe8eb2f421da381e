#include "format/json.h"

#include "core/error.h"
#include "format/scratch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

std::string refusal(std::string_view text) {
  return message_of<InputError>([&] { parse_json(text, "file.json"); });
}

TEST(Json, KeepsValuesAndOrder) {
  const Json json = parse_json(R"({"z":1,"a":[true,null,-2.5,"x"],"m":{"k":18446744073709551615},"e":{},"l":[]})", "file.json");
  EXPECT_EQ(json.dump(), R"({"z":1,"a":[true,null,-2.5,"x"],"m":{"k":18446744073709551615},"e":{},"l":[]})");
  EXPECT_EQ(parse_json("7", "s").get<int>(), 7);
  EXPECT_EQ(parse_json(" \"s\" ", "s").get<std::string>(), "s");
  EXPECT_EQ(parse_json("\xef\xbb\xbf{}", "with a byte order mark").size(), 0U);
}

TEST(Json, JoinsSurrogatePairs) {
  EXPECT_EQ(parse_json(R"("\ud83d\ude00")", "s").get<std::string>(), "\xf0\x9f\x98\x80");
  EXPECT_EQ(parse_json(R"("\u00e9\u4e2d")", "s").get<std::string>(), "\xc3\xa9\xe4\xb8\xad");
  EXPECT_EQ(parse_json(R"("a\u0000b")", "s").get<std::string>(), std::string("a\0b", 3));
  EXPECT_HAS(refusal(R"("\ud83d")"), "surrogate");
  EXPECT_HAS(refusal(R"("\ude00\ud83d")"), "surrogate");
}

TEST(Json, NamesLineAndColumn) {
  EXPECT_HAS(refusal("{\n  \"a\": 1,\n  \"b\": nope\n}"), "file.json:3:9: invalid JSON");  // the 'o' that is not "null"
  EXPECT_HAS(refusal("[1 x]"), "file.json:1:4:");
  EXPECT_HAS(refusal("["), "file.json:1:1:");
  EXPECT_HAS(refusal(""), "file.json:1:1:");
  EXPECT_HAS(refusal("{}\nx"), "file.json:2:1:");
  EXPECT_HAS(refusal("{\"a\":1,\n\n\"a\":2}"), "file.json:3:3: invalid JSON: key \"a\" appears twice");
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_HAS(refusal(R"({"a":1,"b":{"c":1,"c":2}})"), "\"c\" appears twice");
  EXPECT_HAS(refusal(R"({"a":1,"\u0061":2})"), "\"a\" appears twice");
  for (const int n : {15, 16, 17, 40}) {  // around the size from which a set is kept
    std::string text = "{";
    for (int i = 0; i < n; ++i) text += fmt::format("\"k{}\":0,", i);
    for (const int repeated : {0, n / 2, n - 1})
      EXPECT_HAS(refusal(text + fmt::format("\"k{}\":0}}", repeated)), fmt::format("\"k{}\" appears", repeated));
    EXPECT_EQ(parse_json(text + "\"new\":0}", "s").size(), static_cast<size_t>(n) + 1);
  }
  EXPECT_EQ(parse_json(R"([{"a":1},{"a":2},{"b":{"a":3}}])", "s").size(), 3U);  // the same key in different objects
}

TEST(Json, RefusesDepthAbove64) {
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "s"));
  EXPECT_HAS(refusal(std::string(65, '[') + std::string(65, ']')), "file.json:1:65: invalid JSON: nested deeper than 64");
  EXPECT_HAS(refusal(std::string(1000000, '[')), "nested deeper than 64");
  std::string mixed;
  for (int i = 0; i < 33; ++i) mixed += "{\"a\":[";
  EXPECT_HAS(refusal(mixed), "nested deeper than 64");
}

TEST(Json, RefusesBadUtf8) {
  const std::vector<std::pair<const char*, std::string>> bad = {
      {"a lone continuation", "\x80"},       {"a cut sequence", "\xe4\xb8"},         {"an overlong slash", "\xc0\xaf"},
      {"a UTF-8 surrogate", "\xed\xa0\x80"}, {"above U+10FFFF", "\xf4\x90\x80\x80"}, {"a byte that UTF-8 never has", "\xff"}};
  for (const auto& [name, bytes] : bad) {
    EXPECT_HAS(refusal("\"" + bytes + "\""), "invalid JSON") << name;
    EXPECT_HAS(refusal("{\"" + bytes + "\":1}"), "invalid JSON") << name;
  }
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* const text :
       {"NaN",  "Infinity",   "-Infinity", "01",        "+1",     ".5",        "1.",        "0x10",  "'a'", "{a:1}",
        "[1,]", "{\"a\":1,}", "// c\n1",   "/* c */ 1", "\"\t\"", "\"\\x41\"", "\"\\u12\"", "{} {}", "tru", "1e999"}) {
    EXPECT_HAS(refusal(text), "file.json:1:") << text;
  }
  EXPECT_HAS(refusal(std::string_view("{}\0{", 4)), "NUL");
  EXPECT_HAS(refusal(std::string_view("\"a\0b\"", 5)), "invalid JSON");
}

TEST(Json, ErrorsStayShortAndPrintable) {
  for (const std::string& text :
       {std::string("\"\x1b[2J\""), "{\"" + std::string(100000, 'k') + "\":1,\"" + std::string(100000, 'k') + "\":1}",
        "\"" + std::string(100000, 'v')}) {
    const std::string message = refusal(text);
    EXPECT_LT(message.size(), 500U);
    for (const char c : message) EXPECT_TRUE(c >= 0x20 && c <= 0x7e);
  }
}

TEST(Json, ManyKeysAreNotQuadratic) {
  // A vocabulary: a builder that walks all earlier keys for each new one needs 2 * 10^10 comparisons here.
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":" + std::to_string(i);
  text += "}";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(text, "s").size(), 200000U);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 20.0);
}

TEST(JsonLookup, FindsTypedValues) {
  const Json json = parse_json(R"({"s":"x","i":-5,"u":7,"f":2.5,"w":4096.0,"b":true,"n":null})", "c");
  EXPECT_EQ(json_string(json, "s", "c"), "x");
  EXPECT_EQ(json_int(json, "i", "c"), -5);
  EXPECT_EQ(json_int(json, "w", "c"), 4096);
  EXPECT_EQ(json_number(json, "f", "c"), 2.5);
  EXPECT_EQ(json_number(json, "u", "c"), 7.0);
  EXPECT_TRUE(json_bool_or(json, "b", false, "c"));
  EXPECT_TRUE(json_bool_or(json, "missing", true, "c"));
  EXPECT_EQ(json_int_or(json, "n", 3, "c"), 3);
  EXPECT_EQ(json_int_or(json, "i", 3, "c"), -5);
  EXPECT_EQ(json_number_or(json, "missing", 0.5, "c"), 0.5);
  EXPECT_EQ(json_string_or(json, "n", "fallback", "c"), "fallback");
  EXPECT_EQ(json_string_or(json, "s", "fallback", "c"), "x");
}

TEST(JsonLookup, SaysWhatIsWrong) {
  const Json json = parse_json(R"({"s":"x","i":1,"f":2.5,"n":null,"big":18446744073709551615,"far":1e300,"l":[1]})", "c");
  const auto of = [](const std::function<void()>& act) { return message_of<InputError>(act); };
  EXPECT_EQ(of([&] { json_string(json, "i", "c.json"); }), "c.json: i: expected a string, got number 1");
  EXPECT_EQ(of([&] { json_string(json, "gone", "c.json"); }), "c.json: gone: missing, expected a string");
  EXPECT_EQ(of([&] { json_string(json, "n", "c.json"); }), "c.json: n: expected a string, got null");
  EXPECT_EQ(of([&] { json_int(json, "f", "c.json"); }), "c.json: f: expected an integer, got number 2.5");
  EXPECT_HAS(of([&] { json_int(json, "big", "c.json"); }), "expected an integer of 63 bits");
  EXPECT_HAS(of([&] { json_int(json, "far", "c.json"); }), "expected an integer");
  EXPECT_HAS(of([&] { json_int(json, "s", "c.json"); }), "expected an integer, got string");
  EXPECT_HAS(of([&] { json_number(json, "s", "c.json"); }), "expected a number, got string");
  EXPECT_HAS(of([&] { json_number(json, "l", "c.json"); }), "expected a number, got array");
  EXPECT_HAS(of([&] { json_bool_or(json, "i", false, "c.json"); }), "expected true or false, got number");
  EXPECT_HAS(of([&] { json_int_or(json, "s", 1, "c.json"); }), "expected an integer");
  EXPECT_HAS(of([&] { json_number_or(json, "s", 1, "c.json"); }), "expected a number");
  EXPECT_HAS(of([&] { json_string_or(json, "i", "", "c.json"); }), "expected a string");
  EXPECT_HAS(of([&] { json_int(parse_json("[1]", "c"), "i", "c.json"); }), "expected an object");
}

std::vector<std::pair<int64_t, std::string>> lines_of(const std::string& path) {
  std::vector<std::pair<int64_t, std::string>> lines;
  for_each_json_line(path, [&](Json& json, int64_t number) { lines.emplace_back(number, json.dump()); });
  return lines;
}

TEST(JsonLines, VisitsEachWithItsNumber) {
  const Scratch dir;
  const std::string path = dir / "a.jsonl";
  using Lines = std::vector<std::pair<int64_t, std::string>>;
  spill(path, "\xef\xbb\xbf{\"a\":1}\n\n  \t\r\n{\"b\":2}\r\n{\"c\":3}");
  EXPECT_EQ(lines_of(path), (Lines{{1, R"({"a":1})"}, {4, R"({"b":2})"}, {5, R"({"c":3})"}}));
  spill(path, "");
  EXPECT_EQ(lines_of(path), Lines{});
  spill(path, "\n\n\n");
  EXPECT_EQ(lines_of(path), Lines{});
}

TEST(JsonLines, ReadsLinesLongerThanItsBuffer) {
  const Scratch dir;
  const std::string path = dir / "long.jsonl";
  std::string text;
  // The chunks, of a power of two below 1 MiB, end inside a line, at its newline and after it.
  const std::vector<size_t> sizes = {(1 << 20) - 9, 1, (1 << 20) - 10, (1 << 20) - 8, 3 << 20, 5};
  for (const size_t n : sizes) text += "{\"a\":\"" + std::string(n, 'x') + "\"}\n";
  spill(path, text);
  std::vector<size_t> seen;
  for_each_json_line(path, [&](Json& json, int64_t) { seen.push_back(json["a"].get<std::string>().size()); });
  EXPECT_EQ(seen, sizes);
}

TEST(JsonLines, NamesFileLineAndColumn) {
  const Scratch dir;
  const std::string path = dir / "bad.jsonl";
  spill(path, "{\"a\":1}\n\n{\"a\":}\n{\"a\":1}\n");
  int64_t visited = 0;
  EXPECT_HAS(message_of<InputError>([&] { for_each_json_line(path, [&](Json&, int64_t) { ++visited; }); }),
             path + ":3:6: invalid JSON");
  EXPECT_EQ(visited, 1);
  spill(path, "{\"a\":1}\n[1]\n");
  EXPECT_HAS(message_of<InputError>([&] { lines_of(path); }), path + ":2: expected a JSON object, got array");
  spill(path, "{\"a\":1}\n{\"a\":");  // torn by a kill
  EXPECT_HAS(message_of<InputError>([&] { lines_of(path); }), path + ":2:");
  EXPECT_HAS(message_of<IoError>([&] { lines_of(dir / "missing"); }), "missing");
}

}  // namespace
}  // namespace tenfold
