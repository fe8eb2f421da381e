// A model's weights on another device: one buffer, every weight in its own layout.
#include "core/checked.h"
#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tenfold {
namespace {

constexpr int64_t kAlignment = 256;

/// Walks over every array of a model in one order, to measure it first and to copy it then.
class Placement {
 public:
  /// Measures while `device` is null.
  Placement(Device* device, const Buffer* buffer) : device_(device), buffer_(buffer) {}
  int64_t bytes() const { return at_; }

  template <typename T>
  void place(const T*& data, int64_t n) {
    if (data == nullptr) return;
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
    const int64_t from = at_;
    at_ = round_up(at_ + bytes, kAlignment);
    if (device_ == nullptr) return;
    auto* to = static_cast<std::byte*>(buffer_->data()) + from;
    device_->copy_in(to, data, bytes);
    data = reinterpret_cast<const T*>(to);
  }

  /// A table that many weights have alike lies there once: those that share theirs can be multiplied in one launch.
  void place_table(const float*& data, int64_t n) {
    if (data == nullptr) return;
    for (const Table& t : tables_) {
      if (t.size != n || std::memcmp(t.source, data, static_cast<size_t>(n) * sizeof(float)) != 0) continue;
      data = t.placed;
      return;
    }
    const float* const source = data;
    place(data, n);
    tables_.push_back({source, data, n});
  }

  void place(WeightView& w) {
    if (w.empty()) return;
    const int64_t blocks = ceil_div(w.elements(), 64);
    place(w.data, w.bytes());
    if (w.layout == WeightLayout::kNF4) {
      place(w.nf4.absmax, blocks);
      place(w.nf4.absmax8, blocks);
      place(w.nf4.nested_absmax, ceil_div(blocks, 256));
      place_table(w.nf4.nested_code, 256);
      place_table(w.nf4.code, 16);
    }
    if (device_ != nullptr) w.device = device_->kind();
  }

  void place(TensorView& t) {
    if (t.empty()) return;
    const auto* data = static_cast<const std::byte*>(t.data);
    place(data, t.bytes());
    t.data = const_cast<std::byte*>(data);
    if (device_ != nullptr) t.device = device_->kind();
  }

  void place(Model::Impl& m) {
    const bool tied = m.head.data == m.embed_tokens.data;
    place(m.embed_tokens);
    if (tied) {
      m.head = m.embed_tokens;
    } else {
      place(m.head);
    }
    place(m.final_norm);
    for (LayerWeights& l : m.layers) {
      for (WeightView* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) place(*w);
      for (TensorView* t : {&l.attn_norm, &l.ffn_norm, &l.q_bias, &l.k_bias, &l.v_bias}) place(*t);
    }
  }

 private:
  struct Table {
    const float* source;
    const float* placed;
    int64_t size;
  };

  Device* device_;
  const Buffer* buffer_;
  int64_t at_ = 0;
  std::vector<Table> tables_;
};

/// The views of a model, with names of its own.
std::unique_ptr<Model::Impl> views_of(const Model::Impl& from) {
  auto to = std::make_unique<Model::Impl>();
  to->path = from.path;
  to->config = from.config;
  to->layers = from.layers;
  to->embed_tokens = from.embed_tokens;
  to->head = from.head;
  to->final_norm = from.final_norm;
  const auto rename = [&](auto& view) {
    if (!view.empty()) view.name = to->keep_name(view.name);
  };
  rename(to->embed_tokens);
  rename(to->head);
  rename(to->final_norm);
  for (LayerWeights& l : to->layers) {
    for (WeightView* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) rename(*w);
    for (TensorView* t : {&l.attn_norm, &l.ffn_norm, &l.q_bias, &l.k_bias, &l.v_bias}) rename(*t);
  }
  return to;
}

}  // namespace

Model Model::copied_to(Device& device) const {
  auto copy = views_of(*impl_);
  copy->fingerprint = fingerprint();
  Placement measure(nullptr, nullptr);
  measure.place(*copy);
  copy->device_weights = device.allocate("base weights", MemoryUse::kWeights, measure.bytes());
  Placement placement(&device, &copy->device_weights);
  placement.place(*copy);
  return Model(std::move(copy));
}

}  // namespace tenfold
