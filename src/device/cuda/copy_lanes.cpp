#include "device/cuda/copy_lanes.h"

#include "device/cuda/context.h"

namespace tenfold::cuda {

CopyLanes::CopyLanes(cudaStream_t compute) : compute_(compute) {
  for (cudaStream_t& lane : lanes_) TENFOLD_CUDA(cudaStreamCreateWithFlags(&lane, cudaStreamNonBlocking));
  for (cudaEvent_t& event : done_) TENFOLD_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  TENFOLD_CUDA(cudaEventCreateWithFlags(&begin_, cudaEventDisableTiming));
}

CopyLanes::~CopyLanes() {
  finish();
  cudaEventDestroy(begin_);
  for (const cudaEvent_t event : done_) cudaEventDestroy(event);
  for (const cudaStream_t lane : lanes_) cudaStreamDestroy(lane);
}

CopyTicket CopyLanes::copy(Lane lane, void* to, const void* from, int64_t bytes, CopyTicket after) {
  const cudaStream_t stream = lanes_[static_cast<size_t>(lane)];
  // An event that is recorded anew leaves the waits on its earlier record as they are.
  TENFOLD_CUDA(cudaEventRecord(begin_, compute_));
  TENFOLD_CUDA(cudaStreamWaitEvent(stream, begin_));
  if (in_ring(after)) TENFOLD_CUDA(cudaStreamWaitEvent(stream, event_of(after)));
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream));
  const cudaEvent_t event = event_of(++last_);
  if (last_ > kSlots) TENFOLD_CUDA(cudaEventSynchronize(event));
  TENFOLD_CUDA(cudaEventRecord(event, stream));
  return last_;
}

void CopyLanes::wait_for(CopyTicket ticket) {
  if (in_ring(ticket)) TENFOLD_CUDA(cudaStreamWaitEvent(compute_, event_of(ticket)));
}

void CopyLanes::finish() const noexcept {
  for (const cudaStream_t lane : lanes_) cudaStreamSynchronize(lane);
}

}  // namespace tenfold::cuda
