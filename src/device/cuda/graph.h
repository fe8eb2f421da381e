#pragma once

#include "device/device.h"

#include <cuda_runtime.h>

#include <functional>
#include <memory>

namespace tenfold::cuda {

/// What `work` enqueues on the stream as a CUDA graph, ready to run there. Throws DeviceError, and whatever `work` throws; the
/// stream is as before then.
std::unique_ptr<Recording> record_graph(cudaStream_t stream, const std::function<void()>& work);

}  // namespace tenfold::cuda
