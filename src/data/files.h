#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// `path` alone where it is a file; of a folder the regular files directly in it with one of the extensions (".txt"), by name, so
/// that every machine reads them in the same order. `what` begins the message: InputError when there is none, IoError when the
/// folder cannot be listed.
std::vector<std::string> files_at(const std::string& path, std::string_view what,
                                  std::initializer_list<std::string_view> extensions);

}  // namespace tenfold
