// gpu_test: the cases of tests/ops, unchanged, with their ops on a GPU. The tests hand host memory to ops, so every allocation of
// this program lies in one pinned arena that the GPU reaches at the same address. Exits with 77 (skipped) where there is no GPU.
#include "cuda/gpu_main.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace {

constexpr size_t kArenaBytes = size_t{6} << 30;
// Left out: deaths by TENFOLD_CHECK, which happen before the device matters and fork a process that CUDA does not survive; and
// what only the CPU promises, that a sequence may be cut anywhere without changing a bit (cuBLASLt and cuDNN choose kernels by
// the number of rows).
constexpr const char* kLeftOut =
    "AttentionValidation.*:CrossEntropyDeath.*:LinearDeath.*:Embedding.RejectsIdsOutsideTheTable:"
    "AttentionChunks.OfAPromptGiveTheSameBitsBf16:Linear.ResultsDoNotDependOnTheCutOrTheThreads*:CrossEntropy."
    "RowsDependOnNeither*";

/// Blocks of a power of two bytes, each with its size in the 64 bytes before it; freed ones wait in a list of their size.
class Arena {
 public:
  void open(void* memory) { begin_ = static_cast<std::byte*>(memory); }
  bool is_open() const { return begin_ != nullptr; }
  bool holds(const void* p) const { return begin_ != nullptr && p >= begin_ && p < begin_ + kArenaBytes; }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto size_class = static_cast<size_t>(std::bit_width(std::max<size_t>(bytes, kHeader) - 1));
    if (void* freed = free_[size_class]; freed != nullptr) {
      free_[size_class] = *static_cast<void**>(freed);
      return freed;
    }
    const size_t whole = kHeader + (size_t{1} << size_class);
    if (at_ + whole > kArenaBytes) {
      std::fputs("gpu_test: the arena of pinned memory is full\n", stderr);
      std::abort();
    }
    std::byte* block = begin_ + at_;
    at_ += whole;
    std::memcpy(block, &size_class, sizeof size_class);
    return block + kHeader;
  }

  void drop(void* p) {
    const std::lock_guard lock(mutex_);
    size_t size_class = 0;
    std::memcpy(&size_class, static_cast<std::byte*>(p) - kHeader, sizeof size_class);
    *static_cast<void**>(p) = free_[size_class];
    free_[size_class] = p;
  }

 private:
  static constexpr size_t kHeader = 64;

  std::mutex mutex_;
  std::byte* begin_ = nullptr;
  size_t at_ = 0;
  std::array<void*, 64> free_{};
};

Arena& arena() {
  static Arena instance;
  return instance;
}

void* take(size_t bytes, size_t alignment) {
  if (arena().is_open() && alignment <= 64) return arena().take(bytes);
  void* p = std::aligned_alloc(std::max<size_t>(alignment, 64), (bytes + alignment + 63) / 64 * 64);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void drop(void* p) {
  if (p == nullptr) return;
  if (arena().holds(p)) return arena().drop(p);
  std::free(p);
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
  tenfold::test::run_on_gpu(argc, argv, kLeftOut, [] {
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, kArenaBytes, cudaHostAllocPortable | cudaHostAllocMapped) != cudaSuccess) {
      std::fputs("gpu_test: no pinned memory\n", stderr);
      std::_Exit(1);
    }
    arena().open(memory);
  });
}
