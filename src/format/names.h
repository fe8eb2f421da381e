#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace tenfold {

/// Text from a file made safe for a message: in quotes, control and non-ASCII bytes as \xNN, cut after 80 bytes.
std::string shown(std::string_view text);

/// "; near names: a, b, c" for the (up to) three of the names fed by `each` that are nearest to `wanted` by edit distance, or ""
/// when there is none. `each` calls its argument once a name.
std::string near_names(std::string_view wanted, const std::function<void(const std::function<void(std::string_view)>&)>& each);

}  // namespace tenfold
