#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tenfold {

/// RULER's string match (Hsieh et al. 2024): the share, 0 to 1, of the references that the prediction contains, whatever the
/// case, once it is stripped and its control characters are line ends. 0 without references.
double ruler_share(std::string_view prediction, std::span<const std::string> references);

}  // namespace tenfold
