// The CUDA part is one shared library, opened when a GPU is asked for: the program itself runs where there is no driver and no
// CUDA.
#include "core/error.h"
#include "device/device.h"
#include "device/refusal.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <vector>

namespace tenfold {
namespace {

constexpr const char* kLibrary = "libtenfold_cuda.so";

std::filesystem::path program_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

/// Beside the program, in the lib/ of an installation, or where a test of the build tree finds it. No search path: what lies
/// elsewhere may be another version.
std::vector<std::filesystem::path> candidates() {
  std::vector<std::filesystem::path> found;
  const std::filesystem::path folder = program_folder();
  std::error_code ignored;
  for (const std::filesystem::path& path :
       {folder / kLibrary, folder / ".." / "lib" / kLibrary, folder / ".." / "src" / kLibrary}) {
    if (std::filesystem::exists(path, ignored)) found.push_back(path);
  }
  return found;
}

void* open_library() {
  std::string reasons;
  for (const std::filesystem::path& candidate : candidates()) {
    if (void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    reasons += std::string("; ") + dlerror();
  }
  if (reasons.empty()) {
    throw_device(
        "--device cuda: {} is neither beside the program ({}) nor in ../lib: this tenfold is built without CUDA; use --device "
        "cpu, or a CUDA build (docs/guide.md)",
        kLibrary, program_folder().string());
  }
  throw DeviceError(cuda_library_refusal(kLibrary, reasons));
}

}  // namespace

bool has_cuda_library() { return !candidates().empty(); }

std::unique_ptr<Device> open_cuda_device(int index) {
  // Never closed: CUDA's own libraries do not survive being unloaded.
  static void* library = open_library();
  using Open = Device* (*)(int index, const char* version);
  const auto open = reinterpret_cast<Open>(dlsym(library, "tenfold_cuda_open"));
  if (open == nullptr) throw_device("--device cuda: {} is of another version of tenfold; install both together", kLibrary);
  Device* device = open(index, TENFOLD_VERSION);
  if (device == nullptr) throw_device("--device cuda: {} is of another version of tenfold; install both together", kLibrary);
  return std::unique_ptr<Device>(device);
}

}  // namespace tenfold
