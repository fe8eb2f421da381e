#include "format/names.h"

#include <gtest/gtest.h>

#include <vector>

namespace tenfold {
namespace {

TEST(Names, AreShownSafely) {
  EXPECT_EQ(shown("plain"), "\"plain\"");
  EXPECT_EQ(shown(std::string_view("a\0\n\x1b\xc3\x7f", 6)), "\"a\\x00\\x0a\\x1b\\xc3\\x7f\"");
  EXPECT_EQ(shown(std::string(200, 'x')), "\"" + std::string(80, 'x') + "...\"");
}

TEST(Names, NearestComeFirst) {
  const std::vector<std::string> names = {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "output.weight", "blk.10.attn_q.weight"};
  const auto near = [&](std::string_view wanted) {
    return near_names(wanted, [&](const auto& visit) {
      for (const std::string& name : names) visit(name);
    });
  };
  EXPECT_EQ(near("blk.0.attn_q.weigh"), R"(; near names: "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.10.attn_q.weight")");
  EXPECT_EQ(near("output.weight").substr(0, 30), R"(; near names: "output.weight",)");
  EXPECT_EQ(near_names("x", [](const auto&) {}), "");
}

}  // namespace
}  // namespace tenfold
