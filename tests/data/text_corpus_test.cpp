#include "data/text_corpus.h"

#include "core/error.h"
#include "data/tiny_tokenizer.h"

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

std::string cleaned(std::string_view raw, Unwrap unwrap = Unwrap::kNever) { return clean_text("f", raw, unwrap).text; }

TEST(TextCorpusTest, CleansLineEndsBomAndFrontMatter) {
  EXPECT_EQ(cleaned("\xEF\xBB\xBFone\r\ntwo\rthree  \n\n\n\n\nfour\n\n"), "one\ntwo\nthree\n\nfour");
  EXPECT_EQ(cleaned("# Title: Emma\n\n## Author: Jane Austen\n\n## Year: 1815\n\n-------\n\n## VOLUME I\n\nText"),
            "## VOLUME I\n\nText");
  EXPECT_EQ(cleaned("# A heading\n\nText"), "# A heading\n\nText");
  EXPECT_EQ(cleaned("---\n\nText"), "---\n\nText");
  EXPECT_EQ(cleaned(""), "");
  EXPECT_EQ(cleaned("\n\n"), "");
}

TEST(TextCorpusTest, Unwraps) {
  const std::string wrapped = "The first line\nand its  end.\n\nA second paragraph--\nwith a dash\n   and an indent.\n";
  EXPECT_EQ(cleaned(wrapped, Unwrap::kAlways), "The first line and its end.\n\nA second paragraph--with a dash and an indent.");
  EXPECT_EQ(cleaned(wrapped, Unwrap::kAuto), cleaned(wrapped, Unwrap::kAlways));
  EXPECT_EQ(cleaned(wrapped, Unwrap::kNever),
            "The first line\nand its  end.\n\nA second paragraph--\nwith a dash\n   and an indent.");
  // One paragraph a line is not wrapped.
  const std::string lines = "A paragraph.\n\nAnother.\n\nA third\nwith a break.\n\nA fourth.";
  EXPECT_EQ(cleaned(lines, Unwrap::kAuto), lines);
  const std::string wide = std::string(200, 'x') + "\n" + std::string(200, 'y') + "\n" + std::string(200, 'z');
  EXPECT_EQ(cleaned(wide, Unwrap::kAuto), wide);
}

TEST(TextCorpusTest, Utf8) {
  EXPECT_EQ(first_invalid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"), -1);
  EXPECT_EQ(first_invalid_utf8(""), -1);
  const std::vector<std::pair<std::string, int64_t>> bad = {
      {"ab\x80", 2},           {"\xC0\x80", 0},      {"\xC1\xBF", 0},         {"\xE0\x9F\xBF", 0},
      {"\xF0\x8F\xBF\xBF", 0}, {"x\xED\xA0\x80", 1}, {"\xF4\x90\x80\x80", 0}, {"\xF8\x88\x80\x80\x80", 0},
      {"abc\xC3", 3},          {"\xE2\x82", 0},      {"\xE2\x82z", 0},        {"\xFF", 0}};
  for (const auto& [text, offset] : bad) EXPECT_EQ(first_invalid_utf8(text), offset) << ::testing::PrintToString(text);
  expect_contains(input_error([] { cleaned("good\xE9 bad"); }), {"f: byte 4 (0xe9)", "UTF-8"});
}

TEST(TextCorpusTest, LoadsFilesAndFolders) {
  const TemporaryFolder folder;
  folder.write("t/b.md", "# Title: B\n\nbee");
  folder.write("t/a.txt", "ay");
  folder.write("t/c.jpg", "no text");
  const auto single = folder.write("z.book", "zed");
  const std::vector<std::string> paths = {folder / "t", single};
  const auto documents = load_text(paths);
  ASSERT_EQ(documents.size(), 3U);
  EXPECT_EQ(documents[0].text, "ay");
  EXPECT_EQ(documents[1].text, "bee");
  EXPECT_EQ(documents[1].name, folder / "t/b.md");
  EXPECT_EQ(documents[2].text, "zed");
}

TEST(TextCorpusTest, Faults) {
  const TemporaryFolder folder;
  const auto load = [](const std::string& path) { return load_text(std::vector<std::string>{path}); };
  expect_contains(input_error([] { load_text({}); }), {"--text"});
  expect_contains(input_error([&] { load(folder / "none"); }), {"none", "no such file"});
  std::filesystem::create_directory(folder / "hollow");
  expect_contains(input_error([&] { load(folder / "hollow"); }), {"hollow", ".txt"});
  expect_contains(input_error([&] { load(folder.write("empty.txt", "\n\n")); }), {"empty.txt", "no text"});
  expect_contains(input_error([&] { load(folder.write("latin.txt", "caf\xE9")); }), {"latin.txt: byte 3"});
}

}  // namespace
}  // namespace tenfold
