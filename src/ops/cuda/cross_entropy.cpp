// A chunk of rows at a time: all of their logits, one kernel a row for the losses and their gradients, then the products back.
//
// The target's own term is kept out of d_logits' product with the head and added in f32 (see cross_entropy.cu); for the head's
// gradient it is put back in, rounded as the others are.
#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/bodies.h"
#include "ops/cuda/cross_entropy_rows.h"
#include "ops/cuda/gemm.h"

#include <algorithm>

namespace tenfold::cuda {
namespace {

constexpr int64_t kChunkBytes = int64_t{3} << 29;  // of logits and their gradients: 2048 rows of 128256 in bf16
constexpr int64_t kMostRows = 2048;
constexpr int64_t kRowMultiple = 128;
constexpr int64_t kBlockBytes = int64_t{64} << 20;  // of a head that is expanded for the products

/// Rows of a chunk: a function of the vocabulary and the dtype.
int64_t chunk_rows(DType compute, int64_t vocabulary) {
  const int64_t fitting = kChunkBytes / (padded_vocabulary(vocabulary) * (size_of(DType::kF32) + size_of(compute)));
  return std::clamp(fitting / kRowMultiple * kRowMultiple, kRowMultiple, kMostRows);
}

/// The head for products: where it lies, or block by block in the compute dtype.
class Head {
 public:
  Head(Workspace& scratch, DType compute, const WeightView& weight, bool dense)
      : compute_(compute), weight_(weight), dense_(dense), block_(weight.rows) {
    if (dense) return;
    block_ = std::clamp<int64_t>(kBlockBytes / (weight.cols * size_of(compute)) / 64 * 64, 64, round_up(weight.rows, 64));
    expanded_ = scratch.tensor("head block", compute, {block_, weight.cols});
  }
  static bool is_dense(DType compute, const WeightView& weight) {
    return (compute == DType::kBF16 && weight.layout == WeightLayout::kBF16) ||
           (compute == DType::kF32 && weight.layout == WeightLayout::kF32);
  }

  int64_t block() const { return block_; }
  /// Rows [begin, end), at most a block; valid until the next call.
  TensorView rows(Exec& exec, int64_t begin, int64_t end) const {
    if (dense_) {
      void* data = const_cast<std::byte*>(weight_.data);  // products only read their operands
      return TensorView(weight_.name, compute_, {weight_.rows, weight_.cols}, data).rows(begin, end);
    }
    const TensorView out = expanded_.rows(0, end - begin);
    expand_rows(exec, weight_, begin, out);
    return out;
  }

 private:
  DType compute_;
  const WeightView& weight_;
  bool dense_;
  int64_t block_;
  TensorView expanded_;
};

/// What is reused from chunk to chunk.
struct Buffers {
  TensorView logits, d_logits;
  TensorView target_scale;
  TensorView target_rows;  ///< the head's rows of the targets

  Buffers(Workspace& scratch, DType compute, int64_t rows, int64_t vocabulary, int64_t hidden, bool gradient) {
    const int64_t chunk = std::min(rows, chunk_rows(compute, vocabulary));
    logits = scratch.tensor("logits", DType::kF32, {chunk, padded_vocabulary(vocabulary)});
    if (!gradient) return;
    d_logits = scratch.tensor("d_logits", compute, {chunk, padded_vocabulary(vocabulary)});
    target_scale = scratch.tensor("target scale", DType::kF32, {chunk});
    target_rows = scratch.tensor("target rows", compute, {chunk, hidden});
  }
};

TensorView columns(TensorView t, int64_t begin, int64_t end) {
  t.data = static_cast<std::byte*>(t.data) + begin * size_of(t.dtype);
  t.shape[1] = end - begin;
  return t;
}

/// body(begin, end, rows of the head).
template <typename Body>
void for_blocks(Exec& exec, const Head& head, int64_t vocabulary, const Body& body) {
  for (int64_t begin = 0; begin < vocabulary; begin += head.block()) {
    const int64_t end = std::min(begin + head.block(), vocabulary);
    body(begin, end, head.rows(exec, begin, end));
  }
}

}  // namespace

void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head) {
  const int64_t count = h.dim(0);
  if (count == 0) return;
  const int products = 1 + (d_h.empty() ? 0 : 1) + (d_head.empty() ? 0 : 1);
  const double product = 2.0 * static_cast<double>(count) * static_cast<double>(head.rows) * static_cast<double>(head.cols);
  const PartTimer timer(exec, Part::kHead, products * product);
  Exec inner{exec.device, exec.scratch, exec.compute, nullptr};  // the timer above already counts this
  Context& context = context_of(exec);
  const Workspace::Scope scope(exec.scratch);
  const bool gradient = products > 1;
  auto* losses = exec.scratch.tensor("nll", DType::kF32, {count}).ptr<float>();
  const Buffers buffers(exec.scratch, exec.compute, count, head.rows, head.cols, gradient);
  const Head weight(exec.scratch, exec.compute, head, Head::is_dense(exec.compute, head));
  const int32_t* device_targets = context.upload(targets);
  const float* device_weights = gradient ? context.upload(weights) : nullptr;
  const int64_t chunk = buffers.logits.dim(0);
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t end = std::min(begin + chunk, count);
    const TensorView h_rows = h.rows(begin, end);
    LossRows rows;
    rows.logits = buffers.logits.rows(0, end - begin);
    rows.vocabulary = head.rows;
    rows.targets = device_targets + begin;
    rows.nll = losses + begin;
    if (gradient) {
      rows.weights = device_weights + begin;
      rows.target_scale = buffers.target_scale.ptr<float>();
      rows.d_logits = buffers.d_logits.rows(0, end - begin);
    }
    for_blocks(inner, weight, head.rows, [&](int64_t first, int64_t last, const TensorView& w) {
      gemm(context, {.a = h_rows, .b = w, .b_transposed = true, .out = columns(rows.logits, first, last), .add = {}});
    });
    loss_rows(context, rows);
    if (!d_h.empty()) {
      const TensorView d_rows = d_h.rows(begin, end);
      for_blocks(inner, weight, head.rows, [&](int64_t first, int64_t last, const TensorView& w) {
        gemm(context,
             {.a = columns(rows.d_logits, first, last), .b = w, .out = d_rows, .add = first > 0 ? d_rows : TensorView()});
      });
      const TensorView target_rows = buffers.target_rows.rows(0, end - begin);
      embedding_forward(inner, targets.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), head, target_rows);
      add_target_rows(context, rows.target_scale, target_rows, d_rows);
    }
    if (!d_head.empty()) {
      put_targets(context, rows);
      gemm(context, {.a = columns(rows.d_logits, 0, head.rows), .b = h_rows, .a_transposed = true, .out = d_head, .add = d_head});
    }
  }
  context.download(nll, losses);
}

int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden) {
  Workspace measure;
  measure.tensor("nll", DType::kF32, {rows});
  const Buffers buffers(measure, exec.compute, rows, vocabulary, hidden, /*gradient=*/true);
  const WeightView shape{.name = "head", .rows = vocabulary, .cols = hidden, .nf4 = {}};
  const Head head(measure, exec.compute, shape, /*dense=*/false);  // any layout
  return measure.high_water();
}

}  // namespace tenfold::cuda
