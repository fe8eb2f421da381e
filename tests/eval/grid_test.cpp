#include "eval/grid.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using Values = std::vector<int64_t>;

TEST(Grid, LinspaceAsNumpy) {
  int seen = 0;
  for_each_json_line(test::golden("metrics.jsonl"), [&](Json& line, int64_t) {
    if (line.at("kind") != "linspace") return;
    ++seen;
    EXPECT_EQ(linspace(line.at("low").get<int64_t>(), line.at("high").get<int64_t>(), line.at("n").get<int64_t>()),
              line.at("values").get<Values>())
        << line.dump();
  });
  EXPECT_GE(seen, 8);
  EXPECT_EQ(linspace(0, 100, 10), (Values{0, 11, 22, 33, 44, 55, 66, 77, 88, 100}));
}

TEST(Grid, IntegersAsNumpy) {
  int seen = 0;
  for_each_json_line(test::golden("metrics.jsonl"), [&](Json& line, int64_t) {
    if (line.at("kind") != "integers") return;
    ++seen;
    NumpyRng rng(line.at("seed").get<uint64_t>());
    for (const Json& value : line.at("values")) {
      EXPECT_EQ(rng.integers(line.at("low").get<int64_t>(), line.at("high").get<int64_t>()), value.get<int64_t>()) << line.dump();
    }
  });
  EXPECT_GE(seen, 11);
}

TEST(Grid, WidthsShareTheBufferedHalf) {
  int seen = 0;
  for_each_json_line(test::golden("metrics.jsonl"), [&](Json& line, int64_t) {
    if (line.at("kind") != "mixed_integers") return;
    NumpyRng rng(line.at("seed").get<uint64_t>());
    for (size_t i = 0; i < line.at("spans").size(); ++i, ++seen) {
      const Json& span = line.at("spans")[i];
      EXPECT_EQ(rng.integers(span[0].get<int64_t>(), span[1].get<int64_t>()), line.at("values")[i].get<int64_t>()) << i;
    }
  });
  EXPECT_EQ(seen, 15);
}

TEST(Grid, ParsesLists) {
  EXPECT_EQ(parse_lengths("1K,2k,100", "--lengths"), (Values{1024, 2048, 100}));
  EXPECT_EQ(parse_lengths(" 80K ", "--lengths"), (Values{81920}));
  EXPECT_EQ(parse_depths("0, 50,100", "--depths"), (Values{0, 50, 100}));
}

TEST(Grid, RefusesBadLists) {
  for (const char* bad :
       {"", ",", "1K,", "1K,,2K", "x", "1.5K", "-1", "0", "K", "1K,1024", "99999999999999999999", "9007199254740993K", "1KK"}) {
    EXPECT_HAS(test::input_error([&] { parse_lengths(bad, "--lengths"); }), "--lengths: ");
  }
  for (const char* bad : {"101", "-1", "1K", "50,50", "0.5"}) {
    EXPECT_HAS(test::input_error([&] { parse_depths(bad, "--depths"); }), "--depths: ");
  }
}

}  // namespace
}  // namespace tenfold
