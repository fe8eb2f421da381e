#include "ops/cuda/attention_cudnn.h"

#define CUDNN_FRONTEND_SKIP_JSON_LIB
#define NV_CUDNN_FRONTEND_DISABLE_LOGGING
#include <cudnn_frontend.h>
#include <spdlog/spdlog.h>

#include <array>
#include <bit>
#include <map>
#include <unordered_map>

// cudnn_frontend carries an engine for RMS norms on sm_100 that compiles its kernel at run time. Nothing here can reach it, so
// its calls end in these, and the library does not need libnvrtc. (What cuDNN itself compiles at run time goes through its own.)
extern "C" {
nvrtcResult nvrtcCreateProgram(nvrtcProgram*, const char*, const char*, int, const char* const*, const char* const*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcCompileProgram(nvrtcProgram, int, const char* const*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcDestroyProgram(nvrtcProgram*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram, size_t*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetProgramLog(nvrtcProgram, char*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram, size_t*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetCUBIN(nvrtcProgram, char*) { return NVRTC_ERROR_INTERNAL_ERROR; }
}

namespace tenfold::cuda {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Id : int64_t { kQ = 1, kK, kV, kO, kLse, kDO, kDQ, kDK, kDV };

/// Everything that a graph depends on.
using Key = std::array<int64_t, 24>;

Key key_of(const Sdpa& c) {
  return {c.backward, c.with_lse, c.queries, c.keys,     c.heads,   c.kv_heads, c.head_dim, std::bit_cast<int32_t>(c.scale),
          c.q.row,    c.q.head,   c.k.row,   c.k.head,   c.v.row,   c.v.head,   c.o.row,    c.o.head,
          c.d_o.row,  c.d_o.head, c.d_q.row, c.d_q.head, c.d_k.row, c.d_k.head, c.d_v.row,  c.d_v.head};
}

struct Plan : SdpaPlan {
  std::unique_ptr<fe::graph::Graph> graph;
};

/// (1, heads, rows, E) over our (rows, heads, E). The batch of one has the stride of a whole tensor.
template <typename Attributes>
void describe(Attributes& tensor, Id id, const SdpaTensor& t, int64_t rows, int64_t heads, int64_t head_dim) {
  tensor.set_uid(id).set_dim({1, heads, rows, head_dim}).set_stride({rows * t.row, t.head, t.row, 1});
}

template <typename Attributes>
void describe_lse(Attributes& tensor, const Sdpa& c) {
  tensor.set_uid(kLse).set_dim({1, c.heads, c.queries, 1}).set_stride({c.heads * c.queries, c.queries, 1, 1});
  tensor.set_data_type(fe::DataType_t::FLOAT);
}

Tensor input(fe::graph::Graph& graph, const char* name, Id id, const SdpaTensor& t, int64_t rows, int64_t heads,
             int64_t head_dim) {
  fe::graph::Tensor_attributes tensor;
  tensor.set_name(name);
  describe(tensor, id, t, rows, heads, head_dim);
  return graph.tensor(tensor);
}

/// With as many keys as queries both diagonals are the same, and every version knows the first.
template <typename Attributes>
void mask(Attributes& attributes, const Sdpa& c) {
  if (c.queries == c.keys) {
    attributes.set_causal_mask(true);
  } else {
    attributes.set_causal_mask_bottom_right(true);
  }
}

void describe_forward(fe::graph::Graph& graph, const Sdpa& c) {
  const Tensor q = input(graph, "q", kQ, c.q, c.queries, c.heads, c.head_dim);
  const Tensor k = input(graph, "k", kK, c.k, c.keys, c.kv_heads, c.head_dim);
  const Tensor v = input(graph, "v", kV, c.v, c.keys, c.kv_heads, c.head_dim);
  fe::graph::SDPA_attributes attributes;
  attributes.set_name("attention").set_generate_stats(c.with_lse).set_attn_scale(c.scale);
  mask(attributes, c);
  // The statistics are max + ln(sum of exp(scale q k - max)): lse of our contract.
  const auto [o, lse] = graph.sdpa(q, k, v, attributes);
  o->set_output(true);
  describe(*o, kO, c.o, c.queries, c.heads, c.head_dim);
  if (!c.with_lse) return;
  lse->set_output(true);
  describe_lse(*lse, c);
}

void describe_backward(fe::graph::Graph& graph, const Sdpa& c) {
  const Tensor q = input(graph, "q", kQ, c.q, c.queries, c.heads, c.head_dim);
  const Tensor k = input(graph, "k", kK, c.k, c.keys, c.kv_heads, c.head_dim);
  const Tensor v = input(graph, "v", kV, c.v, c.keys, c.kv_heads, c.head_dim);
  const Tensor o = input(graph, "o", kO, c.o, c.queries, c.heads, c.head_dim);
  const Tensor d_o = input(graph, "d_o", kDO, c.d_o, c.queries, c.heads, c.head_dim);
  fe::graph::Tensor_attributes lse;
  lse.set_name("lse");
  describe_lse(lse, c);
  fe::graph::SDPA_backward_attributes attributes;
  attributes.set_name("attention_backward").set_attn_scale(c.scale);
  mask(attributes, c);
  const auto [d_q, d_k, d_v] = graph.sdpa_backward(q, k, v, o, d_o, graph.tensor(lse), attributes);
  const auto output = [&](const Tensor& tensor, Id id, const SdpaTensor& t, int64_t rows, int64_t heads) {
    tensor->set_output(true);
    describe(*tensor, id, t, rows, heads, c.head_dim);
  };
  output(d_q, kDQ, c.d_q, c.queries, c.heads);
  output(d_k, kDK, c.d_k, c.keys, c.kv_heads);
  output(d_v, kDV, c.d_v, c.keys, c.kv_heads);
}

Plan make_plan(Context& context, const Sdpa& call) {
  Plan plan;
  plan.graph = std::make_unique<fe::graph::Graph>();
  plan.graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  if (call.backward) {
    describe_backward(*plan.graph, call);
  } else {
    describe_forward(*plan.graph, call);
  }
  auto status = plan.graph->build(context.dnn(), {fe::HeurMode_t::A});
  if (status.is_good()) status = plan.graph->get_workspace_size(plan.workspace);
  if (status.is_bad()) {
    plan.refusal = status.get_message();
    spdlog::warn("cuDNN {} refuses the attention {} of {} queries on {} keys, {}/{} heads of {}: {}; a slower kernel computes it",
                 cudnnGetVersion(), call.backward ? "backward" : "forward", call.queries, call.keys, call.heads, call.kv_heads,
                 call.head_dim, plan.refusal);
  }
  return plan;
}

class AttentionPlans final : public Plans {
 public:
  const Plan& of(Context& context, const Sdpa& call) {
    const Key key = key_of(call);
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    if (plans_.size() == kMost) {
      TENFOLD_CUDA(cudaStreamSynchronize(context.stream()));  // some may be running
      plans_.clear();
    }
    ++made;
    return plans_.emplace(key, make_plan(context, call)).first->second;
  }

 private:
  static constexpr size_t kMost = 2048;  // forward and backward of every padded length up to 128K
  std::map<Key, Plan> plans_;
};

const Plan& plan_of(Context& context, const Sdpa& call) {
  if (context.attention_plans() == nullptr) context.attention_plans() = std::make_unique<AttentionPlans>();
  return static_cast<AttentionPlans&>(*context.attention_plans()).of(context, call);
}

}  // namespace

const SdpaPlan& sdpa_plan(Context& context, const Sdpa& call) { return plan_of(context, call); }

void sdpa_run(Context& context, const Sdpa& call, void* workspace) {
  const Plan& plan = plan_of(context, call);
  TENFOLD_CHECK(plan.refusal.empty(), "attention: {}", plan.refusal);
  std::unordered_map<int64_t, void*> pointers = {{kQ, call.q.data}, {kK, call.k.data}, {kV, call.v.data}, {kO, call.o.data}};
  if (call.backward || call.with_lse) pointers.emplace(kLse, call.lse);
  if (call.backward) {
    pointers.emplace(kDO, call.d_o.data);
    pointers.emplace(kDQ, call.d_q.data);
    pointers.emplace(kDK, call.d_k.data);
    pointers.emplace(kDV, call.d_v.data);
  }
  auto status = plan.graph->execute(context.dnn(), pointers, workspace);
  if (status.is_bad())
    throw_device("cuDNN attention of {} queries on {} keys: {}", call.queries, call.keys, status.get_message());
}

}  // namespace tenfold::cuda
