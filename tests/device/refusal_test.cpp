#include "device/refusal.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

CudaMachine good() {
  CudaMachine m;
  m.driver = 13000;
  m.runtime = 13000;
  m.cudnn = 91400;
  m.gpus = 2;
  return m;
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " is not in: " << text;
}

TEST(CudaRefusal, IsEmptyWhereAllIsThere) {
  EXPECT_EQ(cuda_refusal(good(), 0), "");
  EXPECT_EQ(cuda_refusal(good(), 1), "");
  CudaMachine newer = good();
  newer.driver = 14010;
  newer.cudnn = 92000;
  EXPECT_EQ(cuda_refusal(newer, 0), "");
  CudaMachine older_minor = good();  // a driver serves every minor version of its major one
  older_minor.runtime = 13020;
  EXPECT_EQ(cuda_refusal(older_minor, 0), "");
}

TEST(CudaRefusal, NamesTheDriverThatIsMissingOrTooOld) {
  CudaMachine m = good();
  m.driver = 0;
  m.gpus = 0;
  expect_words(cuda_refusal(m, 0), {"no NVIDIA driver", "libcuda.so.1", "--device cpu"});
  m.driver = 12080;
  m.gpus_error = "CUDA driver version is insufficient for CUDA runtime version";
  expect_words(cuda_refusal(m, 0), {"too old", "12.8", "13.0", "580", "--device cpu"});
}

TEST(CudaRefusal, NamesTheGpuThatIsNotThere) {
  CudaMachine m = good();
  m.gpus = 0;
  expect_words(cuda_refusal(m, 0), {"no GPU is visible", "lists none", "CUDA_VISIBLE_DEVICES"});
  m.gpus_error = "no CUDA-capable device is detected";
  expect_words(cuda_refusal(m, 0), {"no CUDA-capable device is detected"});
  expect_words(cuda_refusal(good(), 2), {"cuda:2", "this machine has 2"});
  expect_words(cuda_refusal(good(), -1), {"no such GPU"});
}

TEST(CudaRefusal, NamesTheCudnnThatIsRefused) {
  for (const size_t version : {size_t{91000}, size_t{91001}}) {
    CudaMachine m = good();
    m.cudnn = version;
    expect_words(cuda_refusal(m, 0), {cudnn_version_text(version).c_str(), "9.10.2 or newer", "--device cpu"});
  }
  CudaMachine old = good();
  old.cudnn = 8907;  // cuDNN 8 counted in thousands
  expect_words(cuda_refusal(old, 0), {"too old", "cuDNN 9"});
  CudaMachine next = good();
  next.cudnn = 91002;
  EXPECT_EQ(cuda_refusal(next, 0), "");
}

TEST(CudaLibraryRefusal, NamesTheLibraryThatIsMissing) {
  const auto words = [](const char* loader) { return cuda_library_refusal("libtenfold_cuda.so", loader); };
  expect_words(words("; libcudnn.so.9: cannot open shared object file: No such file or directory"),
               {"libtenfold_cuda.so", "No such file", "It needs cuDNN 9", "--device cpu"});
  expect_words(words("; libcublasLt.so.13: cannot open shared object file"), {"It needs cuBLASLt of CUDA 13"});
  expect_words(words("; undefined symbol"), {"CUDA 13", "cuDNN 9"});
}

TEST(MemoryRefusal, NamesPlaceBufferAndWhatToLower) {
  RefusedMemory refused{MemoryPlace::kGpu, "kept activations", "activations",
                        int64_t{1} << 40,  int64_t{5} << 30,   int64_t{7} << 30};
  expect_words(memory_refusal(refused), {"out of GPU memory", "1024.00 GiB", "kept activations (activations)",
                                         "5.00 GiB are in use", "7.00 GiB free", "--max-length", "--gpu-memory", "nvidia-smi"});
  refused.place = MemoryPlace::kPinned;
  expect_words(memory_refusal(refused), {"page-locked host memory", "--host-memory", "ulimit -l"});
  refused.place = MemoryPlace::kHost;
  refused.free = -1;
  const std::string host = memory_refusal(refused);
  expect_words(host, {"out of memory", "--host-memory"});
  EXPECT_EQ(host.find("free,"), std::string::npos);
}

}  // namespace
}  // namespace tenfold
