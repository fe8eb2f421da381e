#include "data/files.h"

#include "core/error.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace tenfold {

std::vector<std::string> files_at(const std::string& path, std::string_view what,
                                  std::initializer_list<std::string_view> extensions) {
  namespace fs = std::filesystem;
  std::error_code fault;
  const auto status = fs::status(path, fault);
  if (!fs::exists(status)) throw_input("{} '{}': no such file or folder", what, path);
  if (!fs::is_directory(status)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path, fault)) {
    const bool wanted = std::find(extensions.begin(), extensions.end(), entry.path().extension().string()) != extensions.end();
    if (wanted && entry.is_regular_file()) files.push_back(entry.path().string());
  }
  if (fault) throw_io("{}: cannot list the folder: {}", path, fault.message());
  if (files.empty()) {
    std::string names;
    for (const std::string_view extension : extensions) names += fmt::format("{}*{}", names.empty() ? "" : " or ", extension);
    throw_input("{} '{}': the folder holds no {} file", what, path, names);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace tenfold
