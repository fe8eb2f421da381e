#include "cli/bench_support.h"
#include "cli/predict.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "format/gguf.h"
#include "infer/session.h"
#include "ops/cpu_features.h"

#include <array>
#include <cmath>
#include <span>

namespace tenfold::cli {
namespace {

struct MeasuredShare {
  double length;
  double share;
};
struct MeasuredShares {
  std::array<MeasuredShare, 3> prefill;
  std::array<MeasuredShare, 3> step;
};
// Shares of oneDNN's ceiling that `bench prefill` and `bench step` reached in one run: SmolLM2-135M, two cores (README.md, How
// fast). They predict; on another CPU or with another model only the bench itself can tell.
constexpr MeasuredShares kVectorShares = {{{{512, 0.72}, {2048, 0.66}, {8192, 0.71}}},
                                          {{{512, 0.77}, {2048, 0.66}, {8192, 0.54}}}};
constexpr MeasuredShares kTileShares = {{{{512, 0.31}, {2048, 0.28}, {8192, 0.28}}}, {{{512, 0.24}, {2048, 0.23}, {8192, 0.20}}}};

const MeasuredShares& measured_shares() { return ops::cpu_isa() == ops::CpuIsa::kAmxBf16 ? kTileShares : kVectorShares; }

/// Linear in the logarithm of the length; beyond what was measured, the nearest measurement.
double predicted_share(std::span<const MeasuredShare> measured, int64_t length) {
  const auto tokens = static_cast<double>(length);
  if (tokens <= measured.front().length) return measured.front().share;
  for (size_t i = 1; i < measured.size(); ++i) {
    const MeasuredShare& a = measured[i - 1];
    const MeasuredShare& b = measured[i];
    if (tokens < b.length) return std::lerp(a.share, b.share, std::log(tokens / a.length) / std::log(b.length / a.length));
  }
  return measured.back().share;
}

class PlanVerb final : public Verb {
 public:
  std::string name() const override { return "plan"; }
  std::string summary() const override {
    return "What a run will hold and take: bytes by buffer, longest length that fits, seconds a step";
  }
  std::string examples() const override {
    return "  tenfold plan --shape smollm2-135m --length 8K\n"
           "  tenfold plan --model SmolLM2.gguf --length 32K --host-memory 4GiB --lm-loss-weight 0.3 --lm-loss-tokens 1024\n"
           "  tenfold plan --shape llama3-8b --layout nf4 --length 80K --lora-extra-params embed_tokens\n";
  }
  void declare(OptionTable& table) override {
    declare_bench(table, bench_);
    bench_.lengths = {8192};
    table.add("answer-tokens", answer_tokens_, "N", "Answer tokens of the longest record; -1: loss on every token");
    declare_lora(table, lora_);
    declare_learning(table, learning_);
    table.group("Plan");
    table.add_switch("infer", infer_, "Plan reading and writing (generate, eval) instead of training");
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_bench(table, bench_, errors);
    check_lora(lora_, errors);
    check_learning(learning_, errors);
    if (bench_.lengths.empty()) errors.push_back("--length: a length is missing");
  }

  int run(Context& context) override {
    const auto device = open_device(context);
    const DType compute = compute_dtype(bench_.model, *device);
    const Shape shape = read_shape(context, *device, compute);
    Ceilings ceilings;
    for (const int64_t length : bench_.lengths) {
      const TrainPlan plan = plan_of(*device, shape, compute, length, context);
      context.console.line(fmt::format("{} at {} tokens, {}, {} threads", infer_ ? "inference" : "a training step", length,
                                       name_of(compute), device->threads()));
      infer_ ? print_plan(context.console, *device, plan.memory) : print_train_plan(context.console, *device, plan);
      context.summary["length"] = length;
      add_train_plan(context, *device, plan);
      if (context.common.dry_run) continue;
      if (ceilings.gflops == 0) measure_products(ceilings, *device, compute);
      if (device->kind() == DeviceKind::kCpu) {
        print_time(context, shape.config, length, ceilings.gflops);
      } else if (compute == DType::kBF16) {  // f32 is for checks: nothing was measured to predict it from
        print_gpu_time(context, *device, shape.config, compute, plan, length, ceilings);
      }
    }
    print_longest(context, *device, shape, compute);
    for (const int64_t length : bench_.lengths) {
      require_memory(*device, plan_of(*device, shape, compute, length, context).memory.total(), context.common,
                     "take a shorter --length, or more memory");
    }
    return 0;
  }

 private:
  struct Shape {
    ModelConfig config;
    int64_t weight_bytes = 0;
  };

  Shape read_shape(Context& context, const Device& device, DType compute) const {
    if (bench_.shape.empty()) {
      const Model model = read_model(model_of(bench_), context, device, compute).model;
      return {model.config(), model.weight_bytes()};
    }
    Shape shape{config_of_shape(bench_.shape), 0};
    const ModelConfig& c = shape.config;
    const int64_t tables = (c.tied_head ? 1 : 2) * c.vocabulary * c.hidden;
    shape.weight_bytes = bytes_of_weights(c.layer_weights()) + bytes_of_weights(tables) + (2 * c.layers + 1) * c.hidden * 4;
    return shape;
  }
  int64_t bytes_of_weights(int64_t count) const {
    const WeightLayout layout = weight_layout_by_name(bench_.layout);
    const auto blocks = static_cast<double>(count) / static_cast<double>(block_elements(layout));
    // NF4 with double quantisation: one byte a block of 64, one float a 256 of those, beside the codes.
    const double scales = layout == WeightLayout::kNF4 ? 1.0 + 4.0 / 256 : 0.0;
    return static_cast<int64_t>(blocks * (static_cast<double>(block_bytes(layout)) + scales));
  }

  int64_t head_rows(int64_t length) const {
    if (answer_tokens_ < 0) return length - 1;
    int64_t rows = std::min(length - 1, answer_tokens_);
    if (learning_.lm_loss_weight > 0) rows += learning_.lm_loss_tokens > 0 ? learning_.lm_loss_tokens : length;
    return std::min(rows, length - 1);
  }

  /// For inference its device memory alone.
  TrainPlan plan_of(Device& device, const Shape& shape, DType compute, int64_t length, const Context& context) const {
    if (infer_) {
      SessionOptions options;
      options.capacity = length;
      options.compute = compute;
      TrainPlan plan;
      plan.memory = Session::plan(device, shape.config, /*lora=*/nullptr, options, shape.weight_bytes);
      return plan;
    }
    TrainOptions options = train_options_of(learning_, context.common);
    options.compute = compute;
    options.steps = 1;
    return plan_training(device, shape.config, lora_of(lora_), options, {length, head_rows(length), shape.weight_bytes});
  }

  void print_time(Context& context, const ModelConfig& config, int64_t length, double gflops) const {
    const double flops = infer_ ? prefill_flops(config, length) : step_flops(config, lora_of(lora_), length, head_rows(length));
    const double share = predicted_share(infer_ ? measured_shares().prefill : measured_shares().step, length);
    const double seconds = flops / (gflops * 1e9 * share);
    context.console.line(
        fmt::format("{:.2f} TFLOP; at {:.0f} % of this machine's {:.0f} GFLOP/s (the share that bench {} measured for the "
                    "README): about {} a {}, "
                    "{:.0f} tokens/s\n",
                    flops * 1e-12, 100 * share, gflops, infer_ ? "prefill" : "step", duration_text(seconds),
                    infer_ ? "prompt" : "record", static_cast<double>(length) / seconds));
    context.summary["step_seconds"] = seconds;
    context.summary["tokens_per_second"] = static_cast<double>(length) / seconds;
    context.summary["share_of_roofline"] = share;
  }

  /// From rates measured now, with what the plan repeats (predict.h).
  void print_gpu_time(Context& context, Device& device, const ModelConfig& config, DType compute, const TrainPlan& plan,
                      int64_t length, Ceilings& ceilings) const {
    if (ceilings.gigabytes == 0) measure_memory(ceilings, device);
    ceilings.attention_forward = ceilings.attention_backward = 0;  // of this length, not the best of several
    measure_attention(ceilings, device, config, compute, std::min(length, kLongestMeasuredAttention));
    const LoraConfig lora = lora_of(lora_);
    const Prediction p = infer_ ? predict_prefill(ceilings, config, length)
                                : predict_step(device, ceilings, config, lora, compute, plan, length, head_rows(length));
    const double flops = infer_ ? prefill_flops(config, length) : step_flops(config, lora, length, head_rows(length));
    const std::string again = p.repeated_flops > 0 ? fmt::format(" and {:.1f} done again", p.repeated_flops * 1e-12) : "";
    context.console.line(
        fmt::format("{:.1f} TFLOP{}; measured now: products {:.0f} TFLOP/s, attention {:.0f} forward and {:.0f} backward, memory "
                    "{:.2f} TB/s: about {} a {} ({:.0f} % of the roofline), {:.0f} tokens/s\n",
                    flops * 1e-12, again, ceilings.gflops * 1e-3, ceilings.attention_forward * 1e-3,
                    ceilings.attention_backward * 1e-3, ceilings.gigabytes * 1e-3, duration_text(p.seconds),
                    infer_ ? "prompt" : "record", 100 * p.ideal / p.seconds, static_cast<double>(length) / p.seconds));
    context.summary["step_seconds"] = p.seconds;
    context.summary["tokens_per_second"] = static_cast<double>(length) / p.seconds;
    context.summary["share_of_roofline"] = p.ideal / p.seconds;
  }

  bool fits(Device& device, const Shape& shape, DType compute, int64_t length, const Context& context) const {
    try {
      require_memory(device, plan_of(device, shape, compute, length, context).memory.total(), context.common, "");
      return true;
    } catch (const DeviceError&) {
      return false;
    }
  }

  void print_longest(Context& context, Device& device, const Shape& shape, DType compute) const {
    constexpr int64_t kStep = 256;
    constexpr int64_t kMost = int64_t{1} << 24;
    int64_t low = 0;
    int64_t high = kMost / kStep;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (fits(device, shape, compute, middle * kStep, context)) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    context.console.line(fmt::format("longest that fits: {} tokens", low * kStep));
    context.summary["longest_length"] = low * kStep;
  }

  BenchOptions bench_;
  LoraOptions lora_;
  LearningOptions learning_;
  int64_t answer_tokens_ = -1;
  bool infer_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_plan_verb() { return std::make_unique<PlanVerb>(); }

}  // namespace tenfold::cli
