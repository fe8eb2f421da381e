#include "synth/r_lazyload.h"

#include "core/error.h"
#include "data/tiny_tokenizer.h"
#include "synth/corpus.h"

#include <zlib.h>

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

/// Writes R's XDR serialisation by hand.
struct Xdr {
  std::string bytes;

  Xdr& word(int64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xFF);
    return *this;
  }
  Xdr& header(int version = 3) {
    bytes += "X\n";
    word(version).word(0x040201).word(0x030500);
    if (version == 3) word(5).raw("UTF-8");
    return *this;
  }
  Xdr& raw(const std::string& text) {
    bytes += text;
    return *this;
  }
  /// A CHARSXP; encoding bit 6 is ASCII, 3 UTF-8, 2 Latin-1.
  Xdr& string(const std::string& text, int encoding_bit = 6) {
    return word(9 | (1 << (12 + encoding_bit))).word(static_cast<int64_t>(text.size())).raw(text);
  }
  Xdr& strings(const std::vector<std::string>& texts, bool attributes = false) {
    word(16 | (attributes ? 1 << 9 : 0)).word(static_cast<int64_t>(texts.size()));
    for (const auto& text : texts) string(text);
    return *this;
  }
  Xdr& integers(const std::vector<int64_t>& values) {
    word(13).word(static_cast<int64_t>(values.size()));
    for (const int64_t value : values) word(value);
    return *this;
  }
  /// The pair list (names = ...) that closes a named list; the symbol is written once and referred to after.
  Xdr& names(const std::vector<std::string>& texts, bool first) {
    word(2 | (1 << 10));
    if (first) {
      word(1).string("names");
    } else {
      word((1 << 8) | 255);
    }
    return strings(texts).word(254);
  }
};

std::string deflated(const std::string& text, bool gzip) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, gzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string chunk(const std::string& serialized, int64_t claimed = -1) {
  return Xdr().word(claimed < 0 ? static_cast<int64_t>(serialized.size()) : claimed).raw(deflated(serialized, false)).bytes;
}

/// The index as R writes it: list(variables = list(name = c(offset, length)), references = list(), compressed = TRUE).
std::string index_of(const std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>>& entries, int64_t compressed = 1) {
  Xdr xdr;
  xdr.header().word(19 | (1 << 9)).word(3);
  xdr.word(19 | (1 << 9)).word(static_cast<int64_t>(entries.size()));
  std::vector<std::string> names;
  for (const auto& [name, place] : entries) {
    xdr.integers({place.first, place.second});
    names.push_back(name);
  }
  xdr.names(names, true);
  xdr.word(19).word(0);
  xdr.word(10).word(1).word(compressed);
  xdr.names({"variables", "references", "compressed"}, false);
  return xdr.bytes;
}

class RLazyLoadTest : public ::testing::Test {
 protected:
  /// A data base of these serialised variables; returns its base path.
  std::string write(const std::vector<std::pair<std::string, std::string>>& variables, bool gzip_index = true) {
    std::string data;
    std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> entries;
    for (const auto& [name, serialized] : variables) {
      const std::string bytes = chunk(serialized);
      entries.push_back({name, {static_cast<int64_t>(data.size()), static_cast<int64_t>(bytes.size())}});
      data += bytes;
    }
    return write_raw(gzip_index ? deflated(index_of(entries), true) : index_of(entries), data);
  }
  std::string write_raw(const std::string& index, const std::string& data) {
    folder_.write("Rdata.rdb", data);
    const std::string path = folder_.write("Rdata.rdx", index);
    return path.substr(0, path.size() - 4);
  }
  TemporaryFolder folder_;
};

TEST_F(RLazyLoadTest, ReadsCharacterVectors) {
  const std::string book = Xdr().header().strings({"EMMA", "", "by Jane Austen"}).bytes;
  const std::string old = Xdr().header(2).strings({"version two"}).bytes;
  const std::string other = Xdr().header().integers({1, 2, 3}).bytes;
  const std::string base = write({{"emma", book}, {"old", old}, {"numbers", other}});
  for (const std::string& path : {base, base + ".rdx", base + ".rdb"}) {
    const auto found = read_r_character_vectors(path);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found.at("emma"), (std::vector<std::string>{"EMMA", "", "by Jane Austen"}));
    EXPECT_EQ(found.at("old"), (std::vector<std::string>{"version two"}));
  }
}

TEST_F(RLazyLoadTest, EncodingsNaAndAttributes) {
  Xdr xdr;
  xdr.header().word(16 | (1 << 9)).word(3).string("caf\xE9", 2).string("\xC3\xA9", 3).word(9).word(-1);
  xdr.word(2 | (1 << 10)).word(1).string("names").strings({"a", "b", "c"}).word(254);
  const auto found = read_r_character_vectors(write({{"x", xdr.bytes}}, false));
  EXPECT_EQ(found.at("x"), (std::vector<std::string>{"caf\xC3\xA9", "\xC3\xA9", ""}));
}

TEST_F(RLazyLoadTest, UnfoldsWrappersAndSkipsWhatItDoesNotKnow) {
  // ALTREP: class (pair list of symbols), state (a list whose first element is the vector), attributes.
  Xdr wrapped;
  wrapped.header().word(238);
  wrapped.word(2).word(1).string("wrap_string").word(2).word(1).string("base").word(2).integers({16}).word(254);
  wrapped.word(19).word(2).strings({"inside"}).integers({0, 0});
  wrapped.word(254);
  const std::string closure = Xdr().header().word(3).word(254).bytes;
  const auto found = read_r_character_vectors(write({{"w", wrapped.bytes}, {"f", closure}}));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.at("w"), (std::vector<std::string>{"inside"}));
}

TEST_F(RLazyLoadTest, TextsBecomeDocuments) {
  const std::string book =
      Xdr().header().strings({"The first line", "goes on.", "", "Second paragraph", "also", "goes on."}).bytes;
  const auto documents = load_synth_texts({write({{"book", book}}) + ".rdx"}, Unwrap::kAuto);
  ASSERT_EQ(documents.size(), 1U);
  EXPECT_EQ(documents[0].text, "The first line goes on.\n\nSecond paragraph also goes on.");
  EXPECT_TRUE(documents[0].name.ends_with(":book"));
}

TEST_F(RLazyLoadTest, MalformedFiles) {
  const std::string book = Xdr().header().strings({"some text", "more"}).bytes;
  const std::string good = chunk(book);
  const auto size = static_cast<int64_t>(good.size());
  const auto indexed = [&](int64_t offset, int64_t length, int64_t compressed = 1) {
    return deflated(index_of({{"v", {offset, length}}}, compressed), true);
  };
  struct Case {
    const char* name;
    std::string index, data, expected;
  };
  const auto serialized = [&](const Xdr& xdr) {
    return std::pair(indexed(0, static_cast<int64_t>(chunk(xdr.bytes).size())), chunk(xdr.bytes));
  };
  std::vector<Case> cases = {
      {"INDEX_EMPTY", "", good, ""},
      {"INDEX_GARBAGE", "garbage", good, "corrupt"},
      {"INDEX_TRUNCATED", indexed(0, size).substr(0, 30), good, "corrupt, truncated"},
      {"INDEX_BZIP2", "BZh91AY", good, "bzip2"},
      {"INDEX_XZ",
       "\xFD"
       "7zXZ abc",
       good, "xz"},
      {"INDEX_NOT_A_LIST", deflated(book, true), good, "no lazy-load index"},
      {"INDEX_COMPRESSION_UNKNOWN", indexed(0, size, 9), good, "unknown compression 9"},
      {"INDEX_TWICE", deflated(index_of({{"v", {0, size}}, {"v", {0, size}}}), true), good, "twice"},
      {"RANGE_PAST_END", indexed(0, size + 1), good, "outside the file"},
      {"RANGE_OFFSET_PAST_END", indexed(size + 5, 3), good, "outside the file"},
      {"RANGE_NEGATIVE", indexed(-4, size), good, "no offset and length"},
      {"CHUNK_TOO_SMALL", indexed(0, 3), good, "too few"},
      {"CHUNK_TRUNCATED", indexed(0, size - 6), good, "corrupt, truncated"},
      {"CHUNK_CLAIMS_LESS", indexed(0, size), chunk(book, 10), "longer than stated"},
      {"CHUNK_CLAIMS_MORE", indexed(0, size), chunk(book, 200), "200 bytes were promised"},
      {"CHUNK_CLAIMS_FAR_TOO_MUCH", indexed(0, size), chunk(book, 0xFFFFFFF0), "cannot come out"},
      {"CHUNK_XZ", indexed(0, size, 3), Xdr().word(10).raw("Z").raw(std::string(static_cast<size_t>(size - 5), 'x')).bytes, "xz"},
  };
  const auto add = [&](const char* name, const Xdr& xdr, const std::string& expected) {
    auto [index, data] = serialized(xdr);
    cases.push_back({name, index, data, expected});
  };
  add("VALUE_NO_MAGIC", Xdr().raw("Y\n"), "XDR");
  add("VALUE_VERSION", Xdr().raw("X\n").word(4).word(0).word(0), "version 4");
  add("VALUE_ENDS", Xdr().header(), "truncated");
  add("VALUE_COUNT_TOO_BIG", Xdr().header().word(16).word(1 << 30), "claims 1073741824");
  add("VALUE_COUNT_NEGATIVE", Xdr().header().word(16).word(-1), "long vectors");
  add("VALUE_STRING_TOO_LONG", Xdr().header().word(16).word(1).word(9).word(1000), "1000 bytes");
  add("VALUE_STRING_NEGATIVE", Xdr().header().word(16).word(1).word(9).word(-7), "-7 bytes");
  add("VALUE_NOT_A_STRING", Xdr().header().word(16).word(1).word(13).word(0), "expected a string");
  add("VALUE_REFERENCE", Xdr().header().word(19).word(1).word((5 << 8) | 255).word(0), "reference 5 of 0");
  Xdr deep;
  deep.header();
  for (int i = 0; i < 200; ++i) deep.word(19).word(1);
  add("VALUE_TOO_DEEP", deep.word(254), "nested");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string base = write_raw(c.index, c.data);
    expect_contains(input_error([&] { read_r_character_vectors(base); }), {c.expected});
  }
  EXPECT_THROW(read_r_character_vectors(folder_ / "nothing"), IoError);
}

TEST_F(RLazyLoadTest, AustenWhereItIsInstalled) {
  std::string base;
  for (const char* at :
       {"/usr/lib/R/site-library/janeaustenr/data/Rdata", "/work/tools/austen/usr/lib/R/site-library/janeaustenr/data/Rdata"}) {
    if (std::filesystem::exists(std::string(at) + ".rdx")) base = at;
  }
  if (base.empty()) GTEST_SKIP() << "r-cran-janeaustenr is not installed";
  const auto novels = read_r_character_vectors(base);
  EXPECT_EQ(novels.size(), 6U);
  EXPECT_EQ(novels.at("emma")[0], "EMMA");
  EXPECT_EQ(novels.at("emma").size(), 16235U);
  for (const auto& document : load_synth_texts({base + ".rdx"}, Unwrap::kAuto))
    EXPECT_GT(document.text.size(), 400000U) << document.name;
}

}  // namespace
}  // namespace tenfold
