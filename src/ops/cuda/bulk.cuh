#pragma once

// Copies of whole runs of bytes from global to shared memory that no thread waits for, and the barriers that count them
// (compute capability 9.0 and up; below that these functions do nothing, and no kernel that calls them is launched).

#include <cstdint>

namespace tenfold::cuda {

/// Lies in shared memory. A phase is over when `count` arrivals and all bytes that were announced are there; the first is phase
/// 0.
struct Barrier {
  uint64_t state;
};

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

__device__ inline void init(Barrier& barrier, uint32_t count) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(count) : "memory");
#endif
}

/// By the thread that has made barriers, before a __syncthreads: copies may signal them afterwards.
__device__ inline void publish_barriers() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

/// What this thread wrote before (its warp before __syncwarp, too) is seen by those who have waited for the phase.
__device__ inline void arrive(Barrier& barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
#endif
}

/// Lanes that arrive for their warp, behind a __syncwarp: one. racecheck does not follow what the others wrote through that;
/// where TENFOLD_EVERY_LANE_ARRIVES is set (CMake), each arrives for itself, so that it sees the same hand-overs, more slowly.
#ifdef TENFOLD_EVERY_LANE_ARRIVES
constexpr uint32_t kArrivingLanes = 32;
#else
constexpr uint32_t kArrivingLanes = 1;
#endif

/// Arrives and announces so many bytes of copies.
__device__ inline void arrive_expecting(Barrier& barrier, uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(bytes) : "memory");
#endif
}

/// Returns when the last phase of this parity is over. Parity 1 of a new barrier is over: it has had no phase yet.
__device__ inline void wait(Barrier& barrier, uint32_t parity) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t over = 0;
  while (over == 0)
    asm volatile(
        "{\n\t.reg .pred p;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
        "selp.u32 %0, 1, 0, p;\n\t}"
        : "=r"(over)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
#endif
}

/// Sends `bytes` on their way; both addresses and the size are multiples of 16.
__device__ inline void copy_bulk(void* shared, const void* global, uint32_t bytes, Barrier& barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
      "l"(global), "r"(bytes), "r"(shared_address(&barrier))
      : "memory");
#endif
}

/// Places used in turn, each with a barrier that says what is there and one that says what is free.
struct Ring {
  uint32_t slot = 0;
  uint32_t phase = 0;

  __device__ void advance(uint32_t slots) {
    slot = slot + 1 == slots ? 0 : slot + 1;
    phase ^= slot == 0 ? 1U : 0U;
  }
};

}  // namespace tenfold::cuda
