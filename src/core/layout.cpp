#include "core/layout.h"

#include "core/error.h"

#include <array>

namespace tenfold {
namespace {

struct LayoutInfo {
  std::string_view name;
  int64_t elements;
  int64_t bytes;
};

constexpr std::array<LayoutInfo, 12> kLayouts = {{
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
    {"NF4", 64, 32},
}};

const LayoutInfo& info(WeightLayout layout) {
  const auto i = static_cast<size_t>(layout);
  TENFOLD_CHECK(i < kLayouts.size(), "layout {}", i);
  return kLayouts[i];
}

}  // namespace

int64_t block_elements(WeightLayout layout) { return info(layout).elements; }
int64_t block_bytes(WeightLayout layout) { return info(layout).bytes; }
std::string_view name_of(WeightLayout layout) { return info(layout).name; }

}  // namespace tenfold
