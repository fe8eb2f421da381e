#pragma once

#include "core/tensor.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// The words of every refusal of a GPU or of memory, and who decides on them: functions of what was found, so that they are
/// tested without a GPU. Each names what to change.
namespace tenfold {

/// What a machine has for a GPU program. Versions of CUDA are 1000 major + 10 minor, those of cuDNN 10000 major + 100 minor +
/// patch.
struct CudaMachine {
  int driver = 0;          ///< that the driver serves; 0: there is no driver
  int runtime = 0;         ///< that the library was built with
  size_t cudnn = 0;        ///< that was loaded
  int gpus = 0;            ///< that the driver shows
  std::string gpus_error;  ///< CUDA's words where it could not count them
};

/// Why `--device cuda:INDEX` cannot be served there; empty where it can.
std::string cuda_refusal(const CudaMachine& machine, int index);

/// Why libtenfold_cuda.so cannot be opened, from the loader's own words.
std::string cuda_library_refusal(std::string_view library, const std::string& loader);

/// "9.10.2".
std::string cudnn_version_text(size_t version);

enum class MemoryPlace : uint8_t { kHost, kGpu, kPinned };

/// An allocation that was refused; bytes.
struct RefusedMemory {
  MemoryPlace place = MemoryPlace::kHost;
  std::string_view name;  ///< of the buffer
  std::string_view use;   ///< of the memory plan
  int64_t bytes = 0;
  int64_t in_use = 0;  ///< by this process's buffers in that place
  int64_t free = 0;    ///< there; below 0: unknown
};
std::string memory_refusal(const RefusedMemory& refused);

}  // namespace tenfold
