#pragma once

#include "data/example.h"
#include "device/exec.h"
#include "model/adapter.h"
#include "model/block.h"
#include "model/model.h"
#include "train/kept.h"
#include "train/loss.h"
#include "train/trainer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold {

/// Sums of a record's losses, not yet divided by anything.
struct LossSums {
  double answers = 0;
  double documents = 0;
  double far_documents = 0;  ///< of those, the tokens beyond the model's own context
};

/// A record through the model and back: what a step is made of, without its batch and its optimiser. Owns every activation;
/// nothing is allocated after construction.
class TrainingPass {
 public:
  TrainingPass(Device& device, const Model& model, const Adapter& adapter, const TrainOptions& options, const TrainSizes& sizes,
               const TrainPlan& plan);

  /// Forward, loss and backward of one record; `gradients` (flat, f32) gets its gradient added. `positions`: of its tokens,
  /// ascending. `weights`: d loss / d nll of each loss position.
  LossSums record(Exec& exec, const Example& example, std::span<const int64_t> positions, const LossPositions& loss,
                  std::span<const float> weights, uint64_t dropout_stream, const TensorView& gradients);

  /// Self-distillation: adds the gradient of weight * the sum over `rows` of KL(base || tuned) on a window. The base is
  /// the model without the adapter at RoPE `base_rope`, so what is held is how it reads a short text as it was made to. Returns
  /// the sum of KL.
  double distill(Exec& exec, std::span<const int32_t> window, std::span<const int64_t> rows, const RopeConfig& base_rope,
                 double weight, uint64_t dropout_stream, const TensorView& gradients);

  /// Blocks and head take their temporaries here.
  Workspace& scratch() { return scratch_; }

 private:
  /// The rows of the head in work.
  struct HeadRows {
    TensorView x;         ///< (n, D) the last layer's output
    TensorView h;         ///< (n, D) normalised
    TensorView d_h, d_x;  ///< (n, D) f32
  };
  HeadRows head_rows(int64_t n) const;

  int64_t begin(std::span<const int32_t> ids, std::span<const int64_t> positions = {});
  BlockContext context(const RopeConfig& rope, int64_t reach, Exec& exec, bool with_adapter);
  void forward(Exec& exec, const BlockContext& context);
  void backward(Exec& exec, const BlockContext& context, const TensorView& d_x, const TensorView& gradients);
  void head_chunk(Exec& exec, const LossPositions& loss, int64_t from, int64_t to, std::span<const float> weights,
                  const TensorView& d_x, const TensorView& gradients);
  /// The base's hidden states before the head at `rows`, normalised: (n, D).
  void base_hidden(Exec& exec, std::span<const int64_t> rows, const RopeConfig& base_rope, int64_t real_tokens,
                   const TensorView& h);

  Device& device_;
  const Model& model_;
  const Adapter& adapter_;
  const TrainOptions& options_;
  Buffer residual_gradient_, cos_, sin_, head_rows_, teacher_;
  Workspace scratch_;
  KeptActivations kept_;
  std::vector<int64_t> positions_;
  ops::AttentionSegment segment_;
  std::vector<int32_t> ids_;  ///< of the record in work, padded
  std::vector<int64_t> chunk_rows_;
  std::vector<float> nll_, teacher_nll_, row_weights_;
};

}  // namespace tenfold
