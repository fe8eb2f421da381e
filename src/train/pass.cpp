#include "train/pass.h"

#include "core/checked.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "train/plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tenfold {
namespace {

/// a (h - g) . d summed over a row, in f64.
double dot_of_difference(const TensorView& a, const TensorView& b, const TensorView& d, int64_t row) {
  double sum = 0;
  const auto value = [row](const TensorView& t, int64_t i) {
    return static_cast<double>(t.dtype == DType::kF32 ? t.row<float>(row)[i] : static_cast<float>(t.row<bf16>(row)[i]));
  };
  for (int64_t i = 0; i < d.dim(1); ++i) sum += (value(a, i) - value(b, i)) * value(d, i);
  return sum;
}

}  // namespace

bool can_pack(const Model& model, const Adapter& adapter) {
  return adapter.config().dropout == 0 && model.config().rope.type != RopeType::kDynamic;
}

TrainingPass::TrainingPass(Device& device, const Model& model, const Adapter& adapter, const TrainOptions& options,
                           const TrainSizes& sizes, const TrainPlan& plan)
    : device_(device),
      model_(model),
      adapter_(adapter),
      options_(options),
      residual_gradient_(
          device.allocate("residual gradient", MemoryUse::kActivations, sizes.longest * model.config().hidden * 4)),
      cos_(device.allocate("rope cos", MemoryUse::kActivations, sizes.longest * model.config().head_dim / 2 * 4)),
      sin_(device.allocate("rope sin", MemoryUse::kActivations, sizes.longest * model.config().head_dim / 2 * 4)),
      head_rows_(device.allocate("head rows", MemoryUse::kActivations,
                                 head_buffer_bytes(model.config(), options.compute, sizes.head_rows))),
      teacher_(device.allocate("base rows", MemoryUse::kActivations,
                               teacher_buffer_bytes(model.config(), options.compute, sizes.distill_rows))),
      scratch_(device.allocate("scratch", MemoryUse::kWorkspace,
                               training_scratch_bytes(device, model.config(), adapter.config(), options.compute, sizes))),
      kept_(device, model.config(), adapter.config(), options, plan),
      head_rows_at_once_(std::min(sizes.head_rows, kHeadRows)) {
  ids_.reserve(static_cast<size_t>(sizes.longest));
  chunk_rows_.reserve(static_cast<size_t>(head_rows_at_once_));
  positions_.resize(static_cast<size_t>(sizes.longest));
}

/// Pads each record to what the device likes: causal attention lets no real token see what comes after. Returns the length of
/// all.
int64_t TrainingPass::begin(std::span<const PassRecord> records) {
  ids_.clear();
  segments_.clear();
  for (const PassRecord& record : records) {
    TENFOLD_CHECK(record.positions.empty() || record.positions.size() == record.ids.size(), "{} positions of {} tokens",
                  record.positions.size(), record.ids.size());
    const auto first = static_cast<int64_t>(ids_.size());
    const int64_t end = first + round_up(static_cast<int64_t>(record.ids.size()), device_.row_multiple());
    TENFOLD_CHECK(end <= static_cast<int64_t>(positions_.size()), "{} tokens in a pass of {}", end, positions_.size());
    ids_.insert(ids_.end(), record.ids.begin(), record.ids.end());
    ids_.resize(static_cast<size_t>(end), 0);
    segments_.push_back({first, end, first, end});
    const auto at = std::copy(record.positions.begin(), record.positions.end(), positions_.begin() + first);
    std::iota(at, positions_.begin() + end, record.positions.empty() ? 0 : record.positions.back() + 1);
  }
  const auto tokens = static_cast<int64_t>(ids_.size());
  kept_.begin(tokens);
  return tokens;
}

/// `reach`: how many positions there are, which dynamic RoPE goes by.
BlockContext TrainingPass::context(const RopeConfig& rope, int64_t reach, Exec& exec, bool with_adapter) {
  const ModelConfig& c = model_.config();
  const auto tokens = static_cast<int64_t>(ids_.size());
  BlockContext context{.model = model_, .adapter = with_adapter ? &adapter_ : nullptr};
  context.segments = segments_;
  context.positions = std::span(positions_).first(ids_.size());
  context.cos = cos_.view(DType::kF32, {tokens, c.head_dim / 2});
  context.sin = sin_.view(DType::kF32, {tokens, c.head_dim / 2});
  context.seed = options_.seed;
  context.training = with_adapter;
  const RopeFrequencies frequencies = rope_frequencies(rope, c.head_dim, c.max_position, reach);
  ops::rope_table(exec, frequencies.inv_freq, context.positions, frequencies.attention_factor, context.cos, context.sin);
  return context;
}

void TrainingPass::forward(Exec& exec, const BlockContext& context) {
  kept_.open(0);
  ops::embedding_forward(exec, ids_, embedding_table(model_, &adapter_), kept_.layer(0).x);
  const int64_t layers = model_.config().layers;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const bool top = layer + 1 == layers;
    if (!top) kept_.open(layer + 1);
    const BlockSaved& saved = kept_.layer(layer);
    block_forward(exec, context, layer, saved.x, &saved, nullptr, 0, top ? kept_.last() : kept_.layer(layer + 1).x);
    kept_.forward_done(layer);
  }
}

void TrainingPass::backward(Exec& exec, const BlockContext& context, const TensorView& d_x, const TensorView& gradients) {
  for (int64_t layer = model_.config().layers; layer-- > 0;) {
    kept_.need(layer);
    block_backward(exec, context, layer, kept_.layer(layer), gradients, d_x);
    kept_.backward_done(layer);
  }
  const TensorView d_table = adapter_.embed_tokens(gradients);
  if (!d_table.empty()) ops::embedding_backward(exec, ids_, d_x, d_table);
}

TrainingPass::HeadRows TrainingPass::head_rows(int64_t n) const {
  const int64_t hidden = model_.config().hidden;
  auto* at = static_cast<std::byte*>(head_rows_.data());
  const auto take = [&](const char* name, DType dtype) {
    TensorView t(name, dtype, {n, hidden}, at);
    t.device = device_.kind();
    at += workspace_bytes(dtype, {n, hidden});
    return t;
  };
  HeadRows rows;
  rows.x = take("head x", options_.compute);
  rows.h = take("head h", options_.compute);
  rows.d_h = take("head d_h", DType::kF32);
  rows.d_x = take("head d_x", DType::kF32);
  return rows;
}

void TrainingPass::join_losses(std::span<const PassRecord> records) {
  rows_.clear();
  targets_.clear();
  row_weights_.clear();
  for (size_t i = 0; i < records.size(); ++i) {
    const LossPositions& loss = *records[i].loss;
    for (const int64_t row : loss.rows) rows_.push_back(segments_[i].q_begin + row);
    targets_.insert(targets_.end(), loss.targets.begin(), loss.targets.end());
    row_weights_.insert(row_weights_.end(), records[i].weights.begin(), records[i].weights.end());
  }
  nll_.resize(rows_.size());
}

LossSums TrainingPass::sums_of(std::span<const PassRecord> records) const {
  const int64_t far_from = model_.config().max_position;
  LossSums sums;
  auto nll = nll_.begin();
  for (const PassRecord& record : records) {
    for (size_t i = 0; i < record.loss->kinds.size(); ++i) {
      const auto value = static_cast<double>(*nll++);
      (record.loss->kinds[i] == TokenKind::kAnswer ? sums.answers : sums.documents) += value;
      if (record.loss->is_far_document(i, far_from)) sums.far_documents += value;
    }
  }
  return sums;
}

LossSums TrainingPass::records(Exec& exec, std::span<const PassRecord> records, uint64_t dropout_stream,
                               const TensorView& gradients) {
  TENFOLD_CHECK(records.size() == 1 || can_pack(model_, adapter_), "{} records in one pass", records.size());
  const int64_t tokens = begin(records);
  int64_t reach = 0;
  for (const PassRecord& record : records)
    reach = std::max(reach, record.positions.empty() ? static_cast<int64_t>(record.ids.size()) : record.positions.back() + 1);
  BlockContext context = this->context(model_.config().rope, reach, exec, true);
  context.dropout_stream = dropout_stream;
  forward(exec, context);
  const TensorView d_x = residual_gradient_.view(DType::kF32, {tokens, model_.config().hidden});
  join_losses(records);
  const auto rows = static_cast<int64_t>(rows_.size());
  if (rows == 0) device_.fill_zero(d_x.data, d_x.bytes());
  for (int64_t from = 0; from < rows; from += head_rows_at_once_)
    head_chunk(exec, from, std::min(rows, from + head_rows_at_once_), d_x, gradients);
  backward(exec, context, d_x, gradients);
  return sums_of(records);
}

/// Last norm, head, loss and back to d_x for loss positions [from, to), which ascend: their chunk of d_x reaches from where the
/// one before ended to the next one's first row.
void TrainingPass::head_chunk(Exec& exec, int64_t from, int64_t to, const TensorView& d_x, const TensorView& gradients) {
  const int64_t n = to - from;
  const auto part = [&](auto all) { return std::span(all).subspan(static_cast<size_t>(from), static_cast<size_t>(n)); };
  const HeadRows rows = head_rows(n);
  const TensorView norm = final_norm(model_, &adapter_);
  const float eps = model_.config().rms_eps;
  const std::span<const int64_t> at = part(std::span<const int64_t>(rows_));
  ops::gather_rows(exec, kept_.last(), at, rows.x);
  ops::rms_norm_forward(exec, rows.x, norm, eps, rows.h);
  ops::cross_entropy(exec, rows.h, head_table(model_, &adapter_), part(std::span<const int32_t>(targets_)),
                     part(std::span<const float>(row_weights_)), part(std::span(nll_)), rows.d_h, adapter_.head(gradients));
  device_.fill_zero(rows.d_x.data, rows.d_x.bytes());
  ops::rms_norm_backward(exec, rows.d_h, rows.x, norm, eps, rows.d_x, adapter_.final_norm(gradients));
  const int64_t first = from == 0 ? 0 : rows_[static_cast<size_t>(from)];
  const int64_t end = to == static_cast<int64_t>(rows_.size()) ? d_x.dim(0) : rows_[static_cast<size_t>(to)];
  chunk_rows_.clear();
  for (const int64_t row : at) chunk_rows_.push_back(row - first);
  const TensorView chunk = d_x.rows(first, end);
  device_.fill_zero(chunk.data, chunk.bytes());
  ops::scatter_rows(exec, rows.d_x, chunk_rows_, chunk);
}

void TrainingPass::base_hidden(Exec& exec, std::span<const int64_t> rows, const RopeConfig& base_rope, int64_t real_tokens,
                               const TensorView& h) {
  const BlockContext context = this->context(base_rope, real_tokens, exec, false);
  // Nothing of this pass is kept, so two of the rooms that the tuned pass will fill serve in turn.
  TensorView x = kept_.layer(0).x;
  TensorView x_out = kept_.last();
  kept_.open(0);
  ops::embedding_forward(exec, ids_, embedding_table(model_, nullptr), x);
  for (int64_t layer = 0; layer < model_.config().layers; ++layer) {
    block_forward(exec, context, layer, x, nullptr, nullptr, 0, x_out);
    std::swap(x, x_out);
  }
  const TensorView gathered = head_rows(h.dim(0)).x;
  ops::gather_rows(exec, x, rows, gathered);
  ops::rms_norm_forward(exec, gathered, final_norm(model_, nullptr), model_.config().rms_eps, h);
}

// With e = softmax(h W^T) W, the logits being linear in h: KL(base || tuned) = (h_base - h) . e_base - lse_base + lse, and its
// gradient in h is e - e_base. cross_entropy gives e - W[target] and lse - h . W[target]; with the same targets for both,
// W[target] cancels: KL = (h_base - h) . d_base + nll - nll_base, gradient d - d_base. Any target would do; the next token's nll
// means something, and after the last token (a generation prompt's) stands the last again.
double TrainingPass::distill(Exec& exec, std::span<const int32_t> window, std::span<const int64_t> rows,
                             const RopeConfig& base_rope, double weight, uint64_t dropout_stream, const TensorView& gradients) {
  const ModelConfig& c = model_.config();
  const auto n = static_cast<int64_t>(rows.size());
  const auto real = static_cast<int64_t>(window.size());
  TENFOLD_CHECK(n > 0 && rows.back() < real && weight > 0, "{} rows of {} tokens, weight {}", n, real, weight);
  const PassRecord record{.ids = window, .positions = {}, .loss = nullptr, .weights = {}};
  const int64_t tokens = begin({&record, 1});
  targets_.clear();
  for (const int64_t row : rows) targets_.push_back(window[static_cast<size_t>(std::min(row + 1, real - 1))]);
  nll_.resize(rows.size());
  teacher_nll_.resize(rows.size());

  TensorView base_h("base h", options_.compute, {n, c.hidden}, teacher_.data());
  TensorView base_d("base d_h", DType::kF32, {n, c.hidden},
                    static_cast<std::byte*>(teacher_.data()) + workspace_bytes(options_.compute, {n, c.hidden}));
  base_h.device = base_d.device = device_.kind();
  base_hidden(exec, rows, base_rope, real, base_h);
  row_weights_.assign(rows.size(), static_cast<float>(-weight));
  ops::cross_entropy(exec, base_h, model_.head(), targets_, row_weights_, teacher_nll_, base_d, {});

  BlockContext context = this->context(c.rope, real, exec, true);
  context.dropout_stream = dropout_stream;
  forward(exec, context);
  const HeadRows head = head_rows(n);
  const TensorView norm = final_norm(model_, &adapter_);
  ops::gather_rows(exec, kept_.last(), rows, head.x);
  ops::rms_norm_forward(exec, head.x, norm, c.rms_eps, head.h);
  row_weights_.assign(rows.size(), static_cast<float>(weight));
  ops::cross_entropy(exec, head.h, model_.head(), targets_, row_weights_, nll_, head.d_h, {});
  double sum = 0;
  {
    const HostCopy base_on_host(device_, base_h);
    const HostCopy tuned_on_host(device_, head.h);
    const HostCopy d_on_host(device_, base_d);
    for (int64_t row = 0; row < n; ++row) {
      const auto i = static_cast<size_t>(row);
      sum += static_cast<double>(nll_[i]) - static_cast<double>(teacher_nll_[i]) -
             dot_of_difference(base_on_host.view(), tuned_on_host.view(), d_on_host.view(), row) / weight;
    }
  }
  ops::add(exec, base_d, head.d_h);
  device_.fill_zero(head.d_x.data, head.d_x.bytes());
  ops::rms_norm_backward(exec, head.d_h, head.x, norm, c.rms_eps, head.d_x, adapter_.final_norm(gradients));
  const TensorView d_x = residual_gradient_.view(DType::kF32, {tokens, c.hidden});
  device_.fill_zero(d_x.data, d_x.bytes());
  ops::scatter_rows(exec, head.d_x, rows, d_x);
  backward(exec, context, d_x, gradients);
  return sum;
}

}  // namespace tenfold
