#include "cli/run_directory.h"

#include "format/atomic_file.h"
#include "ops/cpu_features.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFnvOffset = 0xcbf29ce484222325;
constexpr uint64_t kFnvPrime = 0x100000001b3;

/// FNV-1a (64 bits) of a file's bytes.
uint64_t hash_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> block(1 << 20);
  uint64_t hash = kFnvOffset;
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    for (std::streamsize i = 0; i < file.gcount(); ++i)
      hash = (hash ^ static_cast<unsigned char>(block[static_cast<size_t>(i)])) * kFnvPrime;
  }
  return hash;
}

}  // namespace

std::string input_line(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error))
    return fmt::format("{} ({} bytes, fnv1a64 {:016x})", path, fs::file_size(path, error), hash_file(path));
  if (!fs::is_directory(path, error)) return path;
  int64_t files = 0;
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (!entry.is_regular_file()) continue;
    ++files;
    bytes += entry.file_size();
  }
  return fmt::format("{} ({} files, {} bytes)", path, files, bytes);
}

void write_run_config(const std::string& path, const Context& context, const std::vector<std::string>& facts,
                      const std::vector<std::string>& inputs) {
  std::string text = fmt::format("# tenfold {} {}\n# command: {}\n# cpu: {}\n", TENFOLD_VERSION, context.verb,
                                 context.command_line, ops::name_of(ops::cpu_isa()));
  const auto comment = [&](const std::string& title, const std::string& line) {
    text += fmt::format("# {}: {}\n", title, line.substr(0, line.find('\n')));
  };
  for (const std::string& fact : facts) comment("fact", fact);
  for (const std::string& input : inputs) comment("input", input_line(input));
  text += context.options.resolved();
  write_file_atomically(path, text);
}

}  // namespace tenfold::cli
