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

/// One record of a pass.
struct PassRecord {
  std::span<const int32_t> ids;
  std::span<const int64_t> positions;   ///< of its tokens, ascending; empty: 0, 1, 2, ...
  const LossPositions* loss = nullptr;  ///< none in self-distillation, which has rows of its own
  std::span<const float> weights;       ///< d loss / d nll of each loss position
};

/// Whether several records may share a pass: no dropout, whose mask goes by position, no dynamic RoPE, which goes by length.
bool can_pack(const Model& model, const Adapter& adapter);

/// Records through the model and back: what a step is made of, without its batch and its optimiser. Owns every activation;
/// nothing is allocated on the device after construction.
class TrainingPass {
 public:
  TrainingPass(Device& device, const Model& model, const Adapter& adapter, const TrainOptions& options, const TrainSizes& sizes,
               const TrainPlan& plan);

  /// Forward, loss and backward of records that see nothing of each other, as one flat run of tokens (padded, no longer than
  /// TrainSizes::longest); `gradients` (flat, f32) gets theirs added. More than one at a time only where can_pack.
  LossSums records(Exec& exec, std::span<const PassRecord> records, uint64_t dropout_stream, const TensorView& gradients);

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

  int64_t begin(std::span<const PassRecord> records);
  BlockContext context(const RopeConfig& rope, int64_t reach, Exec& exec, bool with_adapter);
  void forward(Exec& exec, const BlockContext& context);
  void backward(Exec& exec, const BlockContext& context, const TensorView& d_x, const TensorView& gradients);
  /// Sets rows_, targets_ and row_weights_ from the records in work; their rows count in the flat run.
  void join_losses(std::span<const PassRecord> records);
  LossSums sums_of(std::span<const PassRecord> records) const;
  void head_chunk(Exec& exec, int64_t from, int64_t to, const TensorView& d_x, const TensorView& gradients);
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
  std::vector<ops::AttentionSegment> segments_;  ///< of the records in work
  std::vector<int32_t> ids_;                     ///< padded
  int64_t head_rows_at_once_;
  std::vector<int64_t> rows_, chunk_rows_;
  std::vector<int32_t> targets_;
  std::vector<float> nll_, teacher_nll_, row_weights_;
};

}  // namespace tenfold
