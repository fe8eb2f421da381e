#include "device/cuda/graph.h"

#include "device/cuda/context.h"

namespace tenfold::cuda {
namespace {

class Graph final : public Recording {
 public:
  Graph(cudaStream_t stream, cudaGraph_t graph) : stream_(stream) {
    TENFOLD_CUDA(cudaGraphInstantiate(&graph_, graph, 0));
    TENFOLD_CUDA(cudaGraphUpload(graph_, stream_));
  }
  ~Graph() override {
    cudaStreamSynchronize(stream_);
    cudaGraphExecDestroy(graph_);
  }
  void replay() override { TENFOLD_CUDA(cudaGraphLaunch(graph_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

/// Ends what it began, also where the work throws.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    TENFOLD_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (!ended_) cudaStreamEndCapture(stream_, &graph_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
    if (!ended_) cudaGetLastError();  // the broken capture is not an error of what follows
  }
  cudaGraph_t end() {
    ended_ = true;
    TENFOLD_CUDA(cudaStreamEndCapture(stream_, &graph_));
    return graph_;
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Recording> record_graph(cudaStream_t stream, const std::function<void()>& work) {
  Capture capture(stream);
  work();
  return std::make_unique<Graph>(stream, capture.end());
}

}  // namespace tenfold::cuda
