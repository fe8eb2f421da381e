// gpu_test: the cases of tests/ops, unchanged, with their ops on a GPU. The tests hand host memory to ops, so every allocation of this
// program lies in one pinned arena that the GPU reaches at the same address. Exits with 77 (skipped) where there is no GPU.
#include "core/error.h"
#include "ops/support.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <string_view>

namespace {

constexpr size_t kArenaBytes = size_t{6} << 30;
constexpr int kSkipped = 77;

/// A bump allocator whose newest block can be taken back; enough for tests that run one after another, each with a fresh start.
struct Arena {
  std::mutex mutex;
  std::byte* begin = nullptr;
  size_t at = 0;
  size_t live = 0;
};

Arena& arena() {
  static Arena instance;
  return instance;
}

bool inside(const void* p) {
  const Arena& a = arena();
  return a.begin != nullptr && p >= a.begin && p < a.begin + kArenaBytes;
}

void* take(size_t bytes, size_t alignment) {
  Arena& a = arena();
  if (a.begin != nullptr) {
    const std::lock_guard lock(a.mutex);
    alignment = std::max<size_t>(alignment, 64);
    const size_t from = (a.at + alignment - 1) / alignment * alignment;
    if (from + bytes <= kArenaBytes) {
      a.at = from + std::max<size_t>(bytes, 1);
      ++a.live;
      return a.begin + from;
    }
    std::fputs("gpu_test: the arena of pinned memory is full\n", stderr);
    std::abort();
  }
  void* p = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void drop(void* p) {
  if (p == nullptr) return;
  if (!inside(p)) return std::free(p);
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  if (--a.live == 0) a.at = 0;
}

}  // namespace

void* operator new(size_t n) { return take(n, 16); }
void* operator new[](size_t n) { return take(n, 16); }
void* operator new(size_t n, std::align_val_t a) { return take(n, static_cast<size_t>(a)); }
void* operator new[](size_t n, std::align_val_t a) { return take(n, static_cast<size_t>(a)); }
void operator delete(void* p) noexcept { drop(p); }
void operator delete[](void* p) noexcept { drop(p); }
void operator delete(void* p, size_t) noexcept { drop(p); }
void operator delete[](void* p, size_t) noexcept { drop(p); }
void operator delete(void* p, std::align_val_t) noexcept { drop(p); }
void operator delete[](void* p, std::align_val_t) noexcept { drop(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { drop(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { drop(p); }

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::unique_ptr<tenfold::Device> device;
  try {
    device = tenfold::open_cuda_device(0);
  } catch (const tenfold::DeviceError& error) {
    std::fprintf(stderr, "gpu_test skips: %s\n", error.what());
    return kSkipped;
  }
  std::fprintf(stderr, "gpu_test on %s\n", device->description().c_str());
  tenfold::test::gpu() = device.get();
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, kArenaBytes, cudaHostAllocPortable | cudaHostAllocMapped) != cudaSuccess) {
    std::fputs("gpu_test: no pinned memory\n", stderr);
    return 1;
  }
  arena().begin = static_cast<std::byte*>(memory);
  const int result = RUN_ALL_TESTS();
  std::fflush(nullptr);
  std::_Exit(result);  // what lives in the arena is not unwound
}
