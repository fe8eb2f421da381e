// Time on a GPU = what is computed, repeated operations included, at the rates measured in this run + what passes through memory
// besides. Two numbers are fitted, each to all four steps of the README (8B shape, NF4, LoRA r 32 on q, k, v, o; one H100 with
// products 816 TFLOP/s, attention 621/518 at 8K and 669/574 at 32K, copies 3.0 TB/s): 8K 0.560 s, 32K 3.63 s, 80K 15.80 s, 128K
// 37.2 s. They are met within 1.5 %.
#include "cli/predict.h"

#include "core/error.h"
#include "model/block.h"
#include "train/plan.h"

#include <algorithm>

namespace tenfold::cli {
namespace {

/// Products of a whole step (their shapes, the LoRA columns) against the best product alone.
constexpr double kProductShare = 0.85;
/// Times that what a token has in a layer (x, q, k, v, o, gate, up, a: once each, in bf16) is read or written outside of products
/// and attention: norms, RoPE, SwiGLU, operands laid beside LoRA's, casts, gradients.
constexpr double kStepPasses = 10.0;
/// The same of a prompt: 80K in 4.46 s.
constexpr double kPrefillPasses = 2.0;

double pass_bytes(const ModelConfig& c, int64_t length) {
  const int64_t widths = c.hidden + c.q_size() + 2 * c.kv_size() + 3 * c.ffn;
  return 2.0 * static_cast<double>(widths) * static_cast<double>(c.layers) * static_cast<double>(length);
}

}  // namespace

Prediction predict_step(const Device& device, const Ceilings& ceilings, const ModelConfig& config, const LoraConfig& lora,
                        DType compute, const TrainPlan& plan, int64_t length, int64_t head_rows) {
  const double products = ceilings.gflops * 1e9;
  const double forward = ceilings.attention_forward * 1e9;
  const double backward = ceilings.attention_backward * 1e9;
  TENFOLD_CHECK(products > 0 && forward > 0 && backward > 0 && ceilings.gigabytes > 0, "a rate is missing");
  const double attention = attention_flops_of(config, length);
  const double useful = step_flops(config, lora, length, head_rows) - 3.5 * attention;
  RepeatedFlops again;
  double uncovered = 0;
  const auto layers = static_cast<double>(config.layers);
  const double link = device.link_bytes_per_second();
  for (const KeptLayer& layer : plan.layers) {
    const RepeatedFlops r = repeated_flops(config, layer.keep, length);
    again.products += r.products;
    again.attention += r.attention;
    if (!layer.on_host || link == 0) continue;
    // A layer's copy has the time of a layer's compute, on the way out and on the way back.
    const double copy = static_cast<double>(block_saved_bytes(config, lora, compute, layer.keep, length)) / link;
    const double ahead = useful / 2 / layers / products + attention / layers / forward;
    const double back = useful / 2 / layers / products + 2.5 * attention / layers / backward + r.products / products;
    uncovered += std::max(0.0, copy - ahead) + std::max(0.0, copy - back);
  }
  Prediction p;
  p.repeated_flops = again.products + again.attention;
  p.ideal = useful / products + attention / forward + 2.5 * attention / backward;
  p.seconds = (useful + again.products) / (kProductShare * products) + (attention + again.attention) / forward +
              2.5 * attention / backward + kStepPasses * pass_bytes(config, length) / (ceilings.gigabytes * 1e9) + uncovered;
  return p;
}

Prediction predict_prefill(const Ceilings& ceilings, const ModelConfig& config, int64_t length) {
  const double products = ceilings.gflops * 1e9;
  const double forward = ceilings.attention_forward * 1e9;
  TENFOLD_CHECK(products > 0 && forward > 0 && ceilings.gigabytes > 0, "a rate is missing");
  const double attention = attention_flops_of(config, length);
  const double useful = prefill_flops(config, length) - attention;
  Prediction p;
  p.ideal = useful / products + attention / forward;
  p.seconds = useful / (kProductShare * products) + attention / forward +
              kPrefillPasses * pass_bytes(config, length) / (ceilings.gigabytes * 1e9);
  return p;
}

}  // namespace tenfold::cli
