#include "device/refusal.h"

#include "core/error.h"

namespace tenfold {
namespace {

std::string cuda_version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

/// The oldest driver of a major version of CUDA (CUDA Toolkit Release Notes, "minor version compatibility").
std::string driver_of(int runtime) {
  switch (runtime / 1000) {
    case 12: return " (525 or newer)";
    case 13: return " (580 or newer)";
    default: return "";
  }
}

std::string size_text(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return bytes >= int64_t{1} << 30 ? fmt::format("{:.2f} GiB", value / 0x1p30) : fmt::format("{:.1f} MiB", value / 0x1p20);
}

}  // namespace

std::string cudnn_version_text(size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string cuda_refusal(const CudaMachine& machine, int index) {
  if (machine.driver == 0)
    return "--device cuda: there is no NVIDIA driver on this machine (libcuda.so.1); install it, or use --device cpu";
  if (machine.driver / 1000 < machine.runtime / 1000) {
    return fmt::format(
        "--device cuda: the NVIDIA driver is too old: it serves CUDA {}, this program needs {}; update the driver{}, or use "
        "--device cpu",
        cuda_version_text(machine.driver), cuda_version_text(machine.runtime), driver_of(machine.runtime));
  }
  if (machine.gpus == 0) {
    return fmt::format("--device cuda: no GPU is visible ({}); see nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu",
                       machine.gpus_error.empty() ? "the driver lists none" : machine.gpus_error);
  }
  if (index < 0 || index >= machine.gpus) {
    return fmt::format("--device cuda:{}: there is no such GPU; this machine has {}, numbered from 0", index, machine.gpus);
  }
  if (machine.cudnn < 90000) {
    return fmt::format("--device cuda: cuDNN {} is too old; install cuDNN 9 (but not 9.10.0 or 9.10.1), or use --device cpu",
                       cudnn_version_text(machine.cudnn));
  }
  // cudnn-frontend refuses their attention, too.
  if (machine.cudnn == 91000 || machine.cudnn == 91001) {
    return fmt::format("--device cuda: cuDNN {} computes attention wrongly; install 9.10.2 or newer, or use --device cpu",
                       cudnn_version_text(machine.cudnn));
  }
  return {};
}

std::string cuda_library_refusal(std::string_view library, const std::string& loader) {
  std::string_view missing = "CUDA 13 (libcublasLt.so.13) and cuDNN 9 (libcudnn.so.9)";
  if (loader.find("libcublasLt") != std::string::npos) missing = "cuBLASLt of CUDA 13 (libcublasLt.so.13)";
  if (loader.find("libcudnn") != std::string::npos) missing = "cuDNN 9 (libcudnn.so.9)";
  if (loader.find("GLIBC") != std::string::npos) missing = "a system with a newer C or C++ library";
  return fmt::format(
      "--device cuda: {} cannot be opened{}. It needs {}; install that, put its folder into LD_LIBRARY_PATH, or use --device cpu",
      library, loader, missing);
}

std::string memory_refusal(const RefusedMemory& refused) {
  const auto text = [&](std::string_view memory, std::string_view advice) {
    const std::string free = refused.free < 0 ? "" : fmt::format(", {} free", size_text(refused.free));
    return fmt::format("out of {}: {} for {} ({}) were refused; {} are in use by this run{}. {}", memory,
                       size_text(refused.bytes), refused.name, refused.use, size_text(refused.in_use), free, advice);
  };
  switch (refused.place) {
    case MemoryPlace::kHost: return text("memory", "Lower --max-length or --host-memory, or free memory");
    case MemoryPlace::kGpu:
      return text("GPU memory",
                  "Lower --max-length (--length of a bench) or --gpu-memory, or end what else holds this GPU (nvidia-smi "
                  "lists it)");
    case MemoryPlace::kPinned:
      return text("page-locked host memory",
                  "Lower --host-memory or --max-length, or raise what this process may lock (ulimit -l, the container's memory "
                  "limit)");
  }
  TENFOLD_CHECK(false, "place {}", static_cast<int>(refused.place));
}

}  // namespace tenfold
