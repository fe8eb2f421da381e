// The door between the program and libtenfold_cuda.so: one table of bodies, one function that opens a GPU.
#include "ops/backend.h"

#include "device/cuda/cuda_device.h"
#include "ops/cuda/bodies.h"

#include <cstring>

namespace tenfold::cuda {
namespace {

class CudaBackend final : public ops::Backend {
 public:
  double product_gflops(Exec& exec, int64_t m, int64_t n, int64_t k) override { return cuda::product_gflops(exec, m, n, k); }
  double copy_gigabytes(Exec& exec) override { return cuda::copy_gigabytes(exec); }
  ops::PinnedRates pinned_gigabytes(Exec& exec) override { return cuda::pinned_gigabytes(exec); }
  ops::PlanCounts plans_made(const Exec& exec) override {
    Context& context = context_of(exec);
    const auto made = [](const std::unique_ptr<Plans>& plans) { return plans == nullptr ? 0 : plans->made; };
    return {made(context.attention_plans()), made(context.product_plans())};
  }
  void adamw_step(Exec& exec, const ops::AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                  const TensorView& m, const TensorView& v) override {
    return cuda::adamw_step(exec, args, parameter, gradient, m, v);
  }
  void adamw_step_rows(Exec& exec, const ops::AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                       const TensorView& gradient, const TensorView& m, const TensorView& v) override {
    return cuda::adamw_step_rows(exec, args, rows, parameter, gradient, m, v);
  }
  double sum_of_squares(Exec& exec, const TensorView& x) override { return cuda::sum_of_squares(exec, x); }
  void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                         std::span<const ops::AttentionSegment> segments, float scale, const TensorView& o,
                         const TensorView& lse) override {
    return cuda::attention_forward(exec, q, k, v, segments, scale, o, lse);
  }
  void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                          const TensorView& o, const TensorView& lse, std::span<const ops::AttentionSegment> segments,
                          float scale, const ops::AttentionGrads& grads) override {
    return cuda::attention_backward(exec, d_o, q, k, v, o, lse, segments, scale, grads);
  }
  int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads,
                                  int64_t head_dim, bool training) override {
    return cuda::attention_scratch_bytes(exec, tokens, keys, heads, kv_heads, head_dim, training);
  }
  void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                         bool training) override {
    return cuda::attention_prepare(exec, tokens, keys, heads, kv_heads, head_dim, training);
  }
  void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                     std::span<const float> weights, std::span<float> nll, const TensorView& d_h,
                     const TensorView& d_head) override {
    return cuda::cross_entropy(exec, h, head, targets, weights, nll, d_h, d_head);
  }
  int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden) override {
    return cuda::cross_entropy_scratch_bytes(exec, rows, vocabulary, hidden);
  }
  bool decodes(int64_t head_dim) override { return cuda::decodes(head_dim); }
  void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place) override {
    return cuda::decode_place(exec, position, id, place);
  }
  void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                    float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin) override {
    return cuda::decode_begin(exec, place, table, inv_freq, attention_factor, x, cos, sin);
  }
  void decode_products(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products) override {
    return cuda::decode_products(exec, x, products);
  }
  void decode_gate_up(Exec& exec, const TensorView& x, const ops::TokenProduct& gate, const ops::TokenProduct& up) override {
    return cuda::decode_gate_up(exec, x, gate, up);
  }
  void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                   const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values) override {
    return cuda::decode_rope(exec, place, q, k, v, cos, sin, keys, values);
  }
  void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys,
                        const TensorView& values, float scale, const TensorView& o) override {
    return cuda::decode_attention(exec, place, q, keys, values, scale, o);
  }
  void cast(Exec& exec, const TensorView& x, const TensorView& y) override { return cuda::cast(exec, x, y); }
  void add(Exec& exec, const TensorView& x, const TensorView& y) override { return cuda::add(exec, x, y); }
  void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) override {
    return cuda::gather_rows(exec, x, rows, y);
  }
  void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) override {
    return cuda::scatter_rows(exec, x, rows, y);
  }
  void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
               const TensorView& y) override {
    return cuda::dropout(exec, x, token_index, p, seed, stream, y);
  }
  void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out) override { return cuda::argmax(exec, x, out); }
  void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y) override {
    return cuda::embedding_forward(exec, ids, table, y);
  }
  void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table) override {
    return cuda::embedding_backward(exec, ids, d_y, d_table);
  }
  void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out) override {
    return cuda::expand_rows(exec, weight, row, out);
  }
  void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                      const TensorView& y) override {
    return cuda::linear_forward(exec, x, w, args, y);
  }
  void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                       const ops::LinearGrads& grads) override {
    return cuda::linear_backward(exec, d_y, x, w, args, grads);
  }
  int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features,
                               int64_t rank) override {
    return cuda::linear_scratch_bytes(exec, tokens, out_features, in_features, rank);
  }
  void random_fill(Exec& exec, const ops::RandomFill& fill) override { return cuda::random_fill(exec, fill); }
  void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y) override {
    return cuda::rms_norm_forward(exec, x, weight, eps, y);
  }
  void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                         const TensorView& d_x, const TensorView& d_weight) override {
    return cuda::rms_norm_backward(exec, d_y, x, weight, eps, d_x, d_weight);
  }
  void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                  const TensorView& cos, const TensorView& sin) override {
    return cuda::rope_table(exec, inv_freq, positions, attention_factor, cos, sin);
  }
  void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse) override {
    return cuda::rope_apply(exec, x, cos, sin, inverse);
  }
  void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a) override {
    return cuda::swiglu_forward(exec, gate, up, a);
  }
  void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                       const TensorView& d_up) override {
    return cuda::swiglu_backward(exec, d_a, gate, up, d_gate, d_up);
  }
};

}  // namespace
}  // namespace tenfold::cuda

/// Null when the program is of another version than this library. Throws DeviceError.
extern "C" __attribute__((visibility("default"))) tenfold::Device* tenfold_cuda_open(int index, const char* version) {
  if (std::strcmp(version, TENFOLD_VERSION) != 0) return nullptr;
  return new tenfold::cuda::CudaDevice(index, std::make_shared<tenfold::cuda::CudaBackend>());
}
