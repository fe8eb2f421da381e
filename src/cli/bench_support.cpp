#include "cli/bench_support.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/stopwatch.h"
#include "format/names.h"
#include "ops/attention.h"
#include "ops/backend.h"
#include "ops/cpu/ceiling.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <functional>
#include <numeric>

namespace tenfold::cli {
namespace {

double seconds_of(Device& device, const std::function<void()>& work) {
  device.synchronize();
  const Stopwatch watch;
  work();
  device.synchronize();
  return watch.seconds();
}

/// Values of random signs near 1/2: zeros would run faster than any data does.
void fill_noise(Device& device, const TensorView& t) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  std::vector<bf16> piece(static_cast<size_t>(std::min(kPiece, t.elements())));
  Rng rng(1, static_cast<uint64_t>(t.elements()));
  for (bf16& value : piece) value = bf16(static_cast<float>(rng.normal()) * 0.5F);
  for (int64_t at = 0; at < t.elements(); at += kPiece) {
    const int64_t n = std::min(kPiece, t.elements() - at);
    device.copy_in(static_cast<std::byte*>(t.data) + at * 2, piece.data(), n * 2);
  }
}

/// Multiply-adds x 2 of all LoRA branches for one token, forward.
double lora_flops_per_token(const ModelConfig& config, const LoraConfig& lora) {
  double weights = 0;
  for (const Projection target : lora.targets) {
    int64_t in = config.hidden;
    int64_t out = config.ffn;
    if (target == Projection::kQ) out = config.q_size();
    if (target == Projection::kK || target == Projection::kV) out = config.kv_size();
    if (target == Projection::kO) in = config.q_size();
    if (target == Projection::kO || target == Projection::kDown) out = config.hidden;
    if (target == Projection::kDown) in = config.ffn;
    weights += static_cast<double>(lora.r * (in + out));
  }
  return 2.0 * weights * static_cast<double>(config.layers);
}

}  // namespace

WeightLayout weight_layout_by_name(const std::string& name) {
  static constexpr std::array kLayouts = {WeightLayout::kF32,  WeightLayout::kBF16, WeightLayout::kQ4_0,
                                          WeightLayout::kQ4_1, WeightLayout::kQ8_0, WeightLayout::kNF4};
  const auto lower = [](std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
  };
  std::string names;
  for (const WeightLayout layout : kLayouts) {
    if (lower(name_of(layout)) == lower(name)) return layout;
    names += (names.empty() ? "" : ", ") + lower(name_of(layout));
  }
  throw_input("--layout: expected one of {}, got {}", names, shown(name));
}

void declare_bench(OptionTable& table, BenchOptions& options) {
  declare_model(table, options.model);
  table.find("model")->required = false;
  table.group("Bench");
  table.add("shape", options.shape, "NAME", "Random weights of this shape instead of --model: smollm2-135m, llama3-8b, tiny");
  table.add("layout", options.layout, "NAME", "How the weights of --shape lie: f32, bf16, q4_0, q4_1, q8_0 or nf4");
  table.add_many("length", options.lengths, "N,...", "Tokens; several lengths are run one after another");
  table.add_switch("skip-parts", options.skip_parts,
                   "Do not run once more to time the parts (on a GPU, where timing them costs the overlap)");
  table.add("repeats", options.repeats, "N", "Timed repeats, after one that is not timed; the median counts");
  table.add_switch("warm-up", options.warm_up,
                   "Run once more, first and untimed (--no-warm-up where a single run takes minutes)");
}

void check_bench(const OptionTable& table, const BenchOptions& options, std::vector<std::string>& errors) {
  if (table.given("model") == table.given("shape")) errors.push_back("give one of --model PATH and --shape NAME");
  if (options.repeats < 1) errors.push_back(fmt::format("--repeats: expected 1 or more, got {}", options.repeats));
  for (const int64_t length : options.lengths) {
    if (length < 2) errors.push_back(fmt::format("--length: expected 2 or more, got {}", length));
  }
}

ModelOptions model_of(const BenchOptions& options) {
  ModelOptions model = options.model;
  if (model.rope_length == 0 && !options.lengths.empty())
    model.rope_length = *std::max_element(options.lengths.begin(), options.lengths.end());
  return model;
}

LoadedModel load_bench_model(const BenchOptions& options, Context& context) {
  if (options.shape.empty()) return load_model(model_of(options), context);
  auto device = open_device(context);
  const DType compute = compute_dtype(options.model, *device);
  Model model = Model::random(config_of_shape(options.shape), weight_layout_by_name(options.layout),
                              static_cast<uint64_t>(context.common.seed), *device);
  context.console.note(fmt::format("random weights of shape {} in {}, {}, {}", options.shape, options.layout, name_of(compute),
                                   device->description()));
  return {std::move(device), std::move(model), std::nullopt, compute};
}

void measure_products(Ceilings& ceilings, Device& device, DType compute) {
  if (device.kind() == DeviceKind::kCpu) {
    ceilings.gflops = std::max(ceilings.gflops, ops::onednn_ceiling_gflops(compute, device.threads()));
    return;
  }
  Workspace none;
  Exec exec{device, none, compute, nullptr};
  // The MLP of an 8B on 8K tokens, which gives the best rates among its products.
  ceilings.gflops = std::max(ceilings.gflops, device.backend()->product_gflops(exec, 8192, 14336, 4096));
}

void measure_attention(Ceilings& ceilings, Device& device, const ModelConfig& config, DType compute, int64_t length) {
  const int64_t tokens = round_up(length, device.row_multiple());
  const int64_t q_bytes = workspace_bytes(compute, {tokens, config.q_size()});
  const int64_t kv_bytes = workspace_bytes(compute, {tokens, config.kv_size()});
  Workspace unmeasured;
  const Exec plan{device, unmeasured, compute, nullptr};
  const int64_t temporaries = ops::attention_scratch_bytes(plan, tokens, tokens, config.heads, config.kv_heads, config.head_dim,
                                                           /*training=*/true);
  Buffer buffer =
      device.allocate("attention alone", MemoryUse::kWorkspace,
                      4 * q_bytes + 4 * kv_bytes + workspace_bytes(DType::kF32, {config.heads, tokens}) + temporaries);
  buffer.fill_zero();
  Workspace workspace(std::move(buffer));
  Exec exec{device, workspace, compute, nullptr};
  const auto heads = [&](const char* name, int64_t n) { return workspace.tensor(name, compute, {tokens, n, config.head_dim}); };
  const TensorView q = heads("q", config.heads), o = heads("o", config.heads), d_o = heads("d_o", config.heads),
                   d_q = heads("d_q", config.heads);
  const TensorView k = heads("k", config.kv_heads), v = heads("v", config.kv_heads), d_k = heads("d_k", config.kv_heads),
                   d_v = heads("d_v", config.kv_heads);
  const TensorView lse = workspace.tensor("lse", DType::kF32, {config.heads, tokens});
  fill_noise(device, q);
  fill_noise(device, k);
  fill_noise(device, v);
  fill_noise(device, d_o);
  const ops::AttentionSegment segment{0, tokens, 0, tokens};
  const float scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  const double flops = ops::attention_flops({&segment, 1}, config.heads, config.head_dim);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double forward = seconds_of(device, [&] { ops::attention_forward(exec, q, k, v, {&segment, 1}, scale, o, lse); });
    const double backward = seconds_of(device, [&] {
      ops::attention_backward(exec, d_o, q, k, v, o, lse, {&segment, 1}, scale, {d_q, d_k, d_v});
    });
    ceilings.attention_forward = std::max(ceilings.attention_forward, flops / forward * 1e-9);
    ceilings.attention_backward = std::max(ceilings.attention_backward, 2.5 * flops / backward * 1e-9);
  }
}

void measure_memory(Ceilings& ceilings, Device& device) {
  if (device.kind() != DeviceKind::kCpu) {
    Workspace none;
    Exec exec{device, none, DType::kF32, nullptr};
    ceilings.gigabytes = std::max(ceilings.gigabytes, device.backend()->copy_gigabytes(exec));
    return;
  }
  const int threads = device.threads();
  constexpr int64_t kWords = int64_t{1} << 26;  // 512 MiB: far more than any cache
  const std::vector<uint64_t> words(static_cast<size_t>(kWords), 1);
  uint64_t total = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const Stopwatch watch;
    uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads) schedule(static)
    for (int64_t i = 0; i < kWords; ++i) sum += words[static_cast<size_t>(i)];
    const double seconds = watch.seconds();
    total += sum;
    ceilings.gigabytes = std::max(ceilings.gigabytes, static_cast<double>(kWords) * 8e-9 / seconds);
  }
  TENFOLD_CHECK(total == 4 * static_cast<uint64_t>(kWords), "read {}", total);
}

std::vector<int32_t> bench_ids(const ModelConfig& config, int64_t length, uint64_t salt) {
  Rng rng(salt, 0);
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocabulary)));
  return ids;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

double attention_flops_of(const ModelConfig& config, int64_t length) {
  const ops::AttentionSegment segment{0, length, 0, length};
  return static_cast<double>(config.layers) * ops::attention_flops({&segment, 1}, config.heads, config.head_dim);
}

double prefill_flops(const ModelConfig& config, int64_t length) {
  return config.linear_flops_per_token() * static_cast<double>(length) + attention_flops_of(config, length) +
         config.head_flops_per_token();
}

double step_flops(const ModelConfig& config, const LoraConfig& lora, int64_t length, int64_t head_rows) {
  const auto tokens = static_cast<double>(length);
  // Frozen weights: forward and d_x. LoRA: forward, and both gradients of each factor's product. Attention: backward is 2.5
  // forwards.
  return 2.0 * config.linear_flops_per_token() * tokens + 3.0 * lora_flops_per_token(config, lora) * tokens +
         3.5 * attention_flops_of(config, length) + 2.0 * config.head_flops_per_token() * static_cast<double>(head_rows);
}

void add_memory(Json& summary, const Device& device, int64_t planned_bytes) {
  const bool gpu = device.kind() != DeviceKind::kCpu;
  summary[gpu ? "peak_gpu_bytes" : "peak_host_bytes"] = device.peak_held_bytes();
  summary[gpu ? "planned_gpu_bytes" : "planned_host_bytes"] = planned_bytes;
}

double ideal_seconds(const BenchRow& row, const Ceilings& ceilings) {
  if (ceilings.gflops <= 0) return 0;
  if (ceilings.attention_forward <= 0) return row.flops * 1e-9 / ceilings.gflops;
  const double products = row.flops - row.attention_forward_flops - row.attention_backward_flops;
  return products * 1e-9 / ceilings.gflops + row.attention_forward_flops * 1e-9 / ceilings.attention_forward +
         row.attention_backward_flops * 1e-9 / ceilings.attention_backward;
}

Json print_parts(Context& context, const Profile& profile, int64_t times, double whole) {
  Json parts = Json::object();
  double rest = whole;
  const bool short_one = whole < 0.1;
  const auto part_line = [&](std::string_view name, double seconds, double rate_of_part) {
    context.console.line(fmt::format("        {:<12} {:>9.4f} {:<2} {:>5.1f} %{}", name, short_one ? seconds * 1e3 : seconds,
                                     short_one ? "ms" : "s", 100 * seconds / whole,
                                     rate_of_part > 0 ? fmt::format("  {:>7.1f} GFLOP/s", rate_of_part) : ""));
  };
  for (size_t p = 0; p < static_cast<size_t>(Part::kCount); ++p) {
    const Profile::Row& part = profile.row(static_cast<Part>(p));
    if (part.calls == 0) continue;
    const double seconds = part.seconds / static_cast<double>(times);
    rest -= seconds;
    part_line(name_of(static_cast<Part>(p)), seconds, part.flops > 0 ? part.flops / part.seconds * 1e-9 : 0);
    parts[std::string(name_of(static_cast<Part>(p)))] = seconds;
  }
  part_line("other", std::max(0.0, rest), 0);
  return parts;
}

void print_row(Context& context, const Device& device, const BenchRow& row, const Ceilings& ceilings, const Profile& profile,
               int64_t profiled_repeats) {
  const double gflops = row.flops / row.seconds * 1e-9;
  const double ideal = ideal_seconds(row, ceilings);
  const double share = ideal / row.seconds;
  const double rate = row.tokens / row.seconds;
  const int64_t peak = device.peak_held_bytes();
  context.console.line(fmt::format(
      "{:>7} tokens  {:>9.4f} s  {:>8.1f} tokens/s  {:>7.1f} GFLOP/s  {:>5.1f} % of {:.0f}  peak {} (planned {})", row.length,
      row.seconds, rate, gflops, 100 * share, ceilings.gflops, bytes_text(peak), bytes_text(row.planned_bytes)));
  if (row.planned_pinned_bytes > 0) {
    context.console.line(fmt::format("        on the host   {} page-locked (planned {})", bytes_text(row.pinned_bytes),
                                     bytes_text(row.planned_pinned_bytes)));
  }
  if (row.planned_seconds > 0) {
    context.console.line(fmt::format("        {:<12} {:>9.4f} s  measured {:+.1f} %", "planned", row.planned_seconds,
                                     100 * (row.seconds / row.planned_seconds - 1)));
  }
  const Json parts = print_parts(context, profile, profiled_repeats, row.seconds);
  Json line = {{"length", row.length},
               {"step_seconds", row.seconds},
               {"tokens_per_second", rate},
               {"gflops", gflops},
               {"share_of_roofline", share},
               {"ceiling_gflops", ceilings.gflops},
               {"ideal_seconds", ideal},
               {"attention_forward_gflops", ceilings.attention_forward},
               {"attention_backward_gflops", ceilings.attention_backward},
               {"parts", parts}};
  add_memory(line, device, row.planned_bytes);
  if (row.planned_seconds > 0) line["planned_seconds"] = row.planned_seconds;
  if (row.planned_pinned_bytes > 0) {
    line["pinned_bytes"] = row.pinned_bytes;
    line["planned_pinned_bytes"] = row.planned_pinned_bytes;
  }
  for (const auto& [key, value] : line.items()) context.summary[key] = value;
  context.summary["by_length"].push_back(line);
}

}  // namespace tenfold::cli
