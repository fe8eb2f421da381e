#pragma once

// Kernels that begin before the one in front of them has ended (compute capability 9.0 and up), so that a chain of short ones
// does not pay for every start and end. The rules:
// - a kernel launched this way calls wait_for_previous before it touches what an earlier kernel of the chain wrote and before it
//   writes anything, in at least one block: then its end implies the end of everything before it;
// - before that it may read what no kernel of the chain writes: weights, and what lay there before the chain began;
// - let_next_begin may be called at once; the next kernel's own wait does the rest.

#include "device/cuda/context.h"

#include <cstdint>
#include <utility>

namespace tenfold::cuda {

/// Returns when every kernel before this one has ended and what it wrote can be read.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// Lets the next kernel begin, if it was launched to do so.
__device__ inline void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Brings bytes [begin, end) on their way to L2, shared among the threads of a block; nothing is waited for.
__device__ inline void prefetch_to_l2(const void* data, int64_t bytes) {
  constexpr int64_t kLine = 128;
  const auto* p = static_cast<const char*>(data);
  for (int64_t at = threadIdx.x * kLine; at < bytes; at += blockDim.x * kLine)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p + at));
}

/// Launches a kernel that may begin before the one in front of it has ended, with so much shared memory beside its own.
template <typename... Parameters, typename... Arguments>
void launch_overlapped_sharing(const Context& context, void (*kernel)(Parameters...), dim3 blocks, unsigned threads,
                               size_t shared_bytes, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = context.stream();
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  if (context.overlaps()) {
    config.attrs = &overlap;
    config.numAttrs = 1;
  }
  TENFOLD_CUDA(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

template <typename... Parameters, typename... Arguments>
void launch_overlapped(const Context& context, void (*kernel)(Parameters...), dim3 blocks, unsigned threads,
                       Arguments&&... arguments) {
  launch_overlapped_sharing(context, kernel, blocks, threads, 0, std::forward<Arguments>(arguments)...);
}

}  // namespace tenfold::cuda
