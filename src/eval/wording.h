#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// Fills texts from a JSON object by key. InputError on an unknown key (listing the known), a value that is no text, or an empty
/// one. `cleared`: when the first of a pair is set and the second is not, the second becomes empty, for a default that belongs to
/// the first's default.
void read_wording(const std::string& path, const std::vector<std::pair<std::string_view, std::string*>>& fields,
                  const std::vector<std::pair<std::string_view, std::string_view>>& cleared = {});

}  // namespace tenfold
