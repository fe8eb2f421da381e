#include "cli/bench_support.h"

#include "core/error.h"
#include "core/rng.h"
#include "format/names.h"
#include "ops/attention.h"
#include "ops/cpu/ceiling.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <numeric>

namespace tenfold::cli {
namespace {

double attention_flops_of(const ModelConfig& config, int64_t length) {
  const ops::AttentionSegment segment{0, length, 0, length};
  return static_cast<double>(config.layers) * ops::attention_flops({&segment, 1}, config.heads, config.head_dim);
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
  table.add("repeats", options.repeats, "N", "Timed repeats, after one that is not timed; the median counts");
}

void check_bench(const OptionTable& table, const BenchOptions& options, std::vector<std::string>& errors) {
  if (table.given("model") == table.given("shape")) errors.push_back("give one of --model PATH and --shape NAME");
  if (options.repeats < 1) errors.push_back(fmt::format("--repeats: expected 1 or more, got {}", options.repeats));
  for (const int64_t length : options.lengths) {
    if (length < 2) errors.push_back(fmt::format("--length: expected 2 or more, got {}", length));
  }
}

LoadedModel load_bench_model(const BenchOptions& options, const CommonOptions& common, Console& console) {
  if (options.shape.empty()) return load_model(options.model, common, console);
  auto device = open_device(common);
  const DType compute = compute_dtype(options.model);
  Model model =
      Model::random(config_of_shape(options.shape), weight_layout_by_name(options.layout), static_cast<uint64_t>(common.seed));
  console.note(fmt::format("random weights of shape {} in {}, {}, {} threads", options.shape, options.layout, name_of(compute),
                           device->threads()));
  return {std::move(device), std::move(model), std::nullopt, compute};
}

void measure_products(Ceilings& ceilings, DType compute, int threads) {
  ceilings.gflops = std::max(ceilings.gflops, ops::onednn_ceiling_gflops(compute, threads));
}

void measure_memory(Ceilings& ceilings, int threads) {
  constexpr int64_t kWords = int64_t{1} << 26;  // 512 MiB: far more than any cache
  const std::vector<uint64_t> words(static_cast<size_t>(kWords), 1);
  uint64_t total = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads) schedule(static)
    for (int64_t i = 0; i < kWords; ++i) sum += words[static_cast<size_t>(i)];
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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

void print_row(Context& context, const BenchRow& row, const Ceilings& ceilings, const Profile& profile,
               int64_t profiled_repeats) {
  const double gflops = row.flops / row.seconds * 1e-9;
  const double share = ceilings.gflops > 0 ? gflops / ceilings.gflops : 0;
  const double rate = row.tokens / row.seconds;
  const int64_t peak = peak_resident_bytes();
  context.console.line(fmt::format(
      "{:>7} tokens  {:>9.4f} s  {:>8.1f} tokens/s  {:>7.1f} GFLOP/s  {:>5.1f} % of {:.0f}  peak {} (planned {})", row.length,
      row.seconds, rate, gflops, 100 * share, ceilings.gflops, bytes_text(peak), bytes_text(row.planned_bytes)));
  Json parts = Json::object();
  double rest = row.seconds;
  const auto part_line = [&](std::string_view name, double seconds, double rate_of_part) {
    context.console.line(fmt::format("        {:<12} {:>9.4f} s  {:>5.1f} %{}", name, seconds, 100 * seconds / row.seconds,
                                     rate_of_part > 0 ? fmt::format("  {:>7.1f} GFLOP/s", rate_of_part) : ""));
  };
  for (size_t p = 0; p < static_cast<size_t>(Part::kCount); ++p) {
    const Profile::Row& part = profile.row(static_cast<Part>(p));
    if (part.calls == 0) continue;
    const double seconds = part.seconds / static_cast<double>(profiled_repeats);
    rest -= seconds;
    part_line(name_of(static_cast<Part>(p)), seconds, part.flops > 0 ? part.flops / part.seconds * 1e-9 : 0);
    parts[std::string(name_of(static_cast<Part>(p)))] = seconds;
  }
  part_line("other", std::max(0.0, rest), 0);
  Json line = {{"length", row.length},
               {"step_seconds", row.seconds},
               {"tokens_per_second", rate},
               {"gflops", gflops},
               {"share_of_roofline", share},
               {"ceiling_gflops", ceilings.gflops},
               {"peak_host_bytes", peak},
               {"planned_host_bytes", row.planned_bytes},
               {"parts", parts}};
  for (const auto& [key, value] : line.items()) context.summary[key] = value;
  context.summary["by_length"].push_back(line);
}

}  // namespace tenfold::cli
