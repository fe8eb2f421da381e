// bench ceilings, step, prefill, decode, tokenize: rates against what this machine can do, measured in the same run.
#include "cli/bench_support.h"
#include "cli/predict.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "infer/session.h"
#include "ops/adamw.h"
#include "ops/backend.h"
#include "ops/cpu_features.h"
#include "train/trainer.h"

namespace tenfold::cli {
namespace {

/// Attention alone is measured at most at this length: beyond it takes minutes, and the rate has long stopped growing.
constexpr int64_t kLongestAlone = 131072;

class BenchCeilingsVerb final : public Verb {
 public:
  std::string name() const override { return "bench ceilings"; }
  std::string summary() const override {
    return "What this machine can do: products, memory; on a GPU also copies from and to pinned host memory";
  }
  void declare(OptionTable&) override {}
  int run(Context& context) override {
    const auto device = open_device(context);
    if (context.common.dry_run) return 0;
    if (device->kind() != DeviceKind::kCpu) return gpu(context, *device);
    Ceilings f32;
    measure_products(f32, *device, DType::kF32);
    Ceilings bf16;
    if (ops::default_compute_dtype() == DType::kBF16) measure_products(bf16, *device, DType::kBF16);
    measure_memory(f32, *device);
    context.console.line(fmt::format("CPU {}, {} threads", ops::name_of(ops::cpu_isa()), device->threads()));
    if (bf16.gflops > 0) context.console.line(fmt::format("oneDNN bf16 products  {:>8.1f} GFLOP/s", bf16.gflops));
    context.console.line(fmt::format("oneDNN f32 products   {:>8.1f} GFLOP/s", f32.gflops));
    context.console.line(fmt::format("reading memory        {:>8.1f} GB/s", f32.gigabytes));
    if (bf16.gflops > 0) context.summary["bf16_gflops"] = bf16.gflops;
    context.summary["f32_gflops"] = f32.gflops;
    context.summary["memory_gigabytes_per_second"] = f32.gigabytes;
    context.summary["threads"] = device->threads();
    return 0;
  }

 private:
  static int gpu(Context& context, Device& device) {
    Ceilings ceilings;
    measure_products(ceilings, device, DType::kBF16);
    measure_memory(ceilings, device);
    context.console.line(device.description());
    context.console.line(fmt::format("cuBLASLt bf16 products {:>8.0f} TFLOP/s", ceilings.gflops * 1e-3));
    context.console.line(fmt::format("copying memory         {:>8.0f} GB/s", ceilings.gigabytes));
    Workspace none;
    Exec exec{device, none, DType::kF32, nullptr};
    const ops::PinnedRates pinned = device.backend()->pinned_gigabytes(exec);
    context.console.line(fmt::format("pinned memory to GPU   {:>8.1f} GB/s", pinned.to_device));
    context.console.line(fmt::format("GPU to pinned memory   {:>8.1f} GB/s", pinned.to_host));
    context.console.line(fmt::format("both ways at once      {:>8.1f} GB/s in all", pinned.both));
    context.summary["pinned_to_gpu_gigabytes_per_second"] = pinned.to_device;
    context.summary["gpu_to_pinned_gigabytes_per_second"] = pinned.to_host;
    context.summary["pinned_both_gigabytes_per_second"] = pinned.both;
    context.summary["bf16_gflops"] = ceilings.gflops;
    context.summary["memory_gigabytes_per_second"] = ceilings.gigabytes;
    return 0;
  }
};

class BenchStepVerb final : public Verb {
 public:
  std::string name() const override { return "bench step"; }
  std::string summary() const override { return "A LoRA training step (loss on every token) by part"; }
  std::string examples() const override {
    return "  tenfold bench step --model SmolLM2.gguf --length 512,2K,8K\n"
           "  tenfold bench step --shape smollm2-135m --layout nf4 --length 2K --host-memory 1.5GiB --json\n"
           "  tenfold bench step --device cuda --shape llama3-8b --layout nf4 --length 80K --gpu-memory 24GiB\n";
  }
  void declare(OptionTable& table) override {
    options_.lengths = {512, 2048, 8192};
    declare_bench(table, options_);
    declare_offload(table, offload_);
    lora_.alpha = 64;
    declare_lora(table, lora_);
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_bench(table, options_, errors);
    check_lora(lora_, errors);
  }

  int run(Context& context) override {
    LoadedModel loaded = load_bench_model(options_, context);
    const bool on_gpu = loaded.device->kind() != DeviceKind::kCpu;
    Ceilings ceilings;
    if (!context.common.dry_run) measure_products(ceilings, *loaded.device, loaded.compute);
    if (on_gpu && !context.common.dry_run) measure_memory(ceilings, *loaded.device);
    for (const int64_t length : options_.lengths) {
      if (context.stop.requested()) return 128 + context.stop.number();
      if (on_gpu && !context.common.dry_run) {
        measure_attention(ceilings, *loaded.device, loaded.model.config(), loaded.compute, std::min(length, kLongestAlone));
      }
      step(context, loaded, length, ceilings);
    }
    return 0;
  }

 private:
  void step(Context& context, LoadedModel& loaded, int64_t length, Ceilings& ceilings) const {
    const LoraConfig lora = lora_of(lora_);
    TrainOptions train;
    train.compute = loaded.compute;
    train.steps = 1;
    train.host_memory = context.common.host_memory.bytes;
    train.gpu_memory = context.common.gpu_memory.bytes;
    train.pinned_memory = context.common.pinned_memory.bytes;
    train.offload = offload_by_name(offload_);
    Example example;
    example.ids = bench_ids(loaded.model.config(), length, 1);
    example.kinds.assign(static_cast<size_t>(length), TokenKind::kAnswer);
    example.kinds.front() = TokenKind::kNone;
    const TrainSizes sizes = {length, length - 1, loaded.model.weight_bytes()};
    const TrainPlan plan = plan_training(*loaded.device, loaded.model.config(), lora, train, sizes);
    if (context.common.dry_run) return print_train_plan(context.console, *loaded.device, plan);
    if (plan.host.total() > 0) context.console.line(fmt::format("kept for the backward: {}", kept_text(plan)));
    Adapter adapter = Adapter::create(*loaded.device, loaded.model, lora, 1);
    Trainer trainer(*loaded.device, loaded.model, adapter, {&example, 1}, train);
    const int64_t record = 0;
    const bool gpu = loaded.device->kind() != DeviceKind::kCpu;
    ops::PlanCounts before;
    std::vector<double> seconds;
    Progress progress(context.console, fmt::format("step of {}", length), options_.repeats + 1, "steps");
    for (int64_t i = options_.warm_up ? 0 : 1; i <= options_.repeats; ++i) {
      if (i == 1) trainer.profile().clear();
      if (gpu && i == 0) before = plans_made(*loaded.device);
      const Stopwatch watch;
      trainer.forward_backward({&record, 1}, 0);
      trainer.update(/*learning_rate=*/0, 0);  // every repeat sees the same weights
      if (i > 0) seconds.push_back(watch.seconds());
      progress.update(i + 1);
    }
    progress.finish();
    if (gpu) {
      const ops::PlanCounts after = plans_made(*loaded.device);
      context.summary["attention_graphs_built_in_steps"] = after.attention - before.attention;
      context.summary["products_chosen_in_steps"] = after.products - before.products;
    }
    if (gpu && !options_.skip_parts) {
      // By part once more, untimed as a whole: a profile waits for every op.
      trainer.profile().clear();
      trainer.want_profile(true);
      trainer.forward_backward({&record, 1}, 0);
      trainer.update(0, 0);
    }
    measure_products(ceilings, *loaded.device, loaded.compute);
    BenchRow row;
    row.length = length;
    row.seconds = median(seconds);
    row.tokens = static_cast<double>(length);
    row.flops = step_flops(loaded.model.config(), lora, length, length - 1);
    row.attention_forward_flops = attention_flops_of(loaded.model.config(), length);
    row.attention_backward_flops = 2.5 * row.attention_forward_flops;
    row.planned_bytes = plan.memory.total();
    row.pinned_bytes = loaded.device->host_bytes_in_use();
    row.planned_pinned_bytes = plan.host.total();
    if (gpu && loaded.compute == DType::kBF16) {
      row.planned_seconds =
          predict_step(*loaded.device, ceilings, loaded.model.config(), lora, loaded.compute, plan, length, length - 1).seconds;
    }
    print_row(context, *loaded.device, row, ceilings, trainer.profile(), gpu ? 1 : options_.repeats);
  }

  static ops::PlanCounts plans_made(Device& device) {
    Workspace none;
    return device.backend()->plans_made(Exec{device, none, DType::kBF16, nullptr});
  }

  BenchOptions options_;
  LoraOptions lora_;
  std::string offload_ = "auto";
};

class BenchPrefillVerb final : public Verb {
 public:
  std::string name() const override { return "bench prefill"; }
  std::string summary() const override { return "Reading a prompt, by part"; }
  std::string examples() const override { return "  tenfold bench prefill --model SmolLM2.gguf --length 512,2K\n"; }
  void declare(OptionTable& table) override {
    options_.lengths = {512, 2048};
    declare_bench(table, options_);
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override { check_bench(table, options_, errors); }

  int run(Context& context) override {
    LoadedModel loaded = load_bench_model(options_, context);
    if (context.common.dry_run) return 0;
    const bool on_gpu = loaded.device->kind() != DeviceKind::kCpu;
    Ceilings ceilings;
    measure_products(ceilings, *loaded.device, loaded.compute);
    if (on_gpu) measure_memory(ceilings, *loaded.device);
    for (const int64_t length : options_.lengths) {
      if (context.stop.requested()) return 128 + context.stop.number();
      if (on_gpu) {
        measure_attention(ceilings, *loaded.device, loaded.model.config(), loaded.compute, std::min(length, kLongestAlone));
      }
      prefill(context, loaded, length, ceilings);
    }
    return 0;
  }

 private:
  void prefill(Context& context, LoadedModel& loaded, int64_t length, Ceilings& ceilings) const {
    const ModelConfig& config = loaded.model.config();
    SessionOptions options;
    options.capacity = length;
    options.compute = loaded.compute;
    Session session(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
    std::vector<double> seconds;
    for (int64_t i = options_.warm_up ? 0 : 1; i <= options_.repeats; ++i) {
      std::vector<int32_t> ids = bench_ids(config, length, static_cast<uint64_t>(i));
      ids.front() = static_cast<int32_t>(i % config.vocabulary);  // no common beginning, so nothing is reused
      if (i == 1) session.profile().clear();
      const Stopwatch watch;
      session.prefill(ids);
      if (i > 0) seconds.push_back(watch.seconds());
    }
    measure_products(ceilings, *loaded.device, loaded.compute);
    BenchRow row;
    row.length = length;
    row.seconds = median(seconds);
    row.tokens = static_cast<double>(length);
    row.flops = prefill_flops(config, length);
    row.attention_forward_flops = attention_flops_of(config, length);
    row.planned_bytes = session_plan(loaded, options).total();
    if (loaded.device->kind() != DeviceKind::kCpu && loaded.compute == DType::kBF16)
      row.planned_seconds = predict_prefill(ceilings, config, length).seconds;
    print_row(context, *loaded.device, row, ceilings, session.profile(), options_.repeats);
  }

  BenchOptions options_;
};

class BenchDecodeVerb final : public Verb {
 public:
  std::string name() const override { return "bench decode"; }
  std::string summary() const override { return "Writing token by token after a context, against reading memory"; }
  std::string examples() const override {
    return "  tenfold bench decode --model SmolLM2.gguf --length 128,4K --new-tokens 64\n";
  }
  void declare(OptionTable& table) override {
    options_.lengths = {128};
    declare_bench(table, options_);
    table.add("new-tokens", new_tokens_, "N", "Tokens written a repeat");
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_bench(table, options_, errors);
    if (new_tokens_ < 1) errors.push_back(fmt::format("--new-tokens: expected 1 or more, got {}", new_tokens_));
  }

  int run(Context& context) override {
    LoadedModel loaded = load_bench_model(options_, context);
    if (context.common.dry_run) return 0;
    Ceilings ceilings;
    for (const int64_t length : options_.lengths) {
      if (context.stop.requested()) return 128 + context.stop.number();
      measure_memory(ceilings, *loaded.device);
      decode(context, loaded, length, ceilings);
    }
    return 0;
  }

 private:
  void decode(Context& context, LoadedModel& loaded, int64_t length, const Ceilings& ceilings) const {
    const ModelConfig& config = loaded.model.config();
    SessionOptions options;
    options.capacity = length + new_tokens_;
    options.compute = loaded.compute;
    Session session(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
    const std::vector<int32_t> ids = bench_ids(config, length, 0);
    std::vector<double> seconds;
    for (int64_t i = options_.warm_up ? 0 : 1; i <= options_.repeats; ++i) {
      session.prefill(ids);
      session.profile().clear();
      const Stopwatch watch;
      for (int64_t t = 0; t < new_tokens_; ++t) session.decode_greedy(ids[static_cast<size_t>(t % length)]);
      if (i > 0) seconds.push_back(watch.seconds() / static_cast<double>(new_tokens_));
    }
    const double each = median(seconds);
    // What one token must read: every weight, and the keys and values of half of the new tokens and all of the context.
    const auto cache = static_cast<double>(KvCache::bytes(config, loaded.compute, 1, length + new_tokens_ / 2));
    const double gigabytes = (static_cast<double>(loaded.model.weight_bytes()) + cache) * 1e-9 / each;
    const double share = gigabytes / ceilings.gigabytes;
    context.console.line(fmt::format(
        "{:>7} tokens before  {:>8.2f} ms a token  {:>7.1f} tokens/s  {:>5.1f} GB/s, {:.1f} % of {:.1f}  peak {}", length,
        each * 1e3, 1 / each, gigabytes, 100 * share, ceilings.gigabytes, bytes_text(loaded.device->peak_held_bytes())));
    Json line = {{"length", length}, {"step_seconds", each}, {"tokens_per_second", 1 / each}, {"share_of_roofline", share}};
    // Of the last repeat; a GPU's tokens replay a recording, which has no parts.
    if (loaded.device->kind() == DeviceKind::kCpu)
      line["parts"] = print_parts(context, session.profile(), new_tokens_, seconds.back());
    add_memory(line, *loaded.device, session_plan(loaded, options).total());
    for (const auto& [key, value] : line.items()) context.summary[key] = value;
    context.summary["by_length"].push_back(line);
  }

  BenchOptions options_;
  int64_t new_tokens_ = 64;
};

class BenchTokenizeVerb final : public Verb {
 public:
  std::string name() const override { return "bench tokenize"; }
  std::string summary() const override { return "Tokens and bytes a second on one thread"; }
  std::string examples() const override { return "  tenfold bench tokenize --model SmolLM2.gguf --text books/*.md\n"; }
  void declare(OptionTable& table) override {
    declare_tokenizer(table, model_);
    table.group("Bench");
    table.add_many("text", text_, "PATH...", "Text files").required = true;
    table.add("repeats", repeats_, "N", "Timed repeats, after one that is not timed; the median counts");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    if (repeats_ < 1) errors.push_back(fmt::format("--repeats: expected 1 or more, got {}", repeats_));
  }
  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    std::vector<std::string> texts;
    size_t bytes = 0;
    for (const std::string& path : text_) {
      texts.push_back(read_text(path));
      bytes += texts.back().size();
    }
    if (context.common.dry_run) return 0;
    std::vector<double> seconds;
    size_t tokens = 0;
    for (int64_t i = 0; i <= repeats_; ++i) {
      tokens = 0;
      const Stopwatch watch;
      for (const std::string& text : texts) tokens += tokenizer.encode(text).size();
      if (i > 0) seconds.push_back(watch.seconds());
    }
    const double each = median(seconds);
    context.console.line(fmt::format("{} bytes, {} tokens  {:.4f} s  {:.2f} MB/s  {:.0f} tokens/s", bytes, tokens, each,
                                     static_cast<double>(bytes) / each * 1e-6, static_cast<double>(tokens) / each));
    context.summary["tokens"] = tokens;
    context.summary["bytes"] = bytes;
    context.summary["step_seconds"] = each;
    context.summary["tokens_per_second"] = static_cast<double>(tokens) / each;
    context.summary["bytes_per_second"] = static_cast<double>(bytes) / each;
    return 0;
  }

 private:
  ModelOptions model_;
  std::vector<std::string> text_;
  int64_t repeats_ = 3;
};

}  // namespace

std::unique_ptr<Verb> make_bench_ceilings_verb() { return std::make_unique<BenchCeilingsVerb>(); }
std::unique_ptr<Verb> make_bench_step_verb() { return std::make_unique<BenchStepVerb>(); }
std::unique_ptr<Verb> make_bench_prefill_verb() { return std::make_unique<BenchPrefillVerb>(); }
std::unique_ptr<Verb> make_bench_decode_verb() { return std::make_unique<BenchDecodeVerb>(); }
std::unique_ptr<Verb> make_bench_tokenize_verb() { return std::make_unique<BenchTokenizeVerb>(); }

}  // namespace tenfold::cli
