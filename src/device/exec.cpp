#include "device/exec.h"

#include "core/error.h"

namespace tenfold {

std::string_view name_of(Part part) {
  switch (part) {
    case Part::kProducts: return "products";
    case Part::kExpansion: return "expansion";
    case Part::kAttention: return "attention";
    case Part::kElementwise: return "elementwise";
    case Part::kHead: return "head";
    case Part::kLora: return "lora";
    case Part::kOptimizer: return "optimizer";
    case Part::kCount: break;
  }
  TENFOLD_CHECK(false, "part {}", static_cast<int>(part));
}

}  // namespace tenfold
