#include "train/trainer.h"

#include "core/checked.h"
#include "core/rng.h"
#include "core/stopwatch.h"
#include "data/batch_order.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/cpu_features.h"
#include "train/checkpoint.h"
#include "train/loss.h"
#include "train/pass.h"
#include "train/plan.h"
#include "train/schedule.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

namespace tenfold {
namespace {

constexpr uint64_t kDropoutStream = 0x64726f70;  // "drop"
constexpr int64_t kDistillRecord = -1;           ///< the window's place among the records' dropout streams

uint64_t hash_examples(std::span<const Example> examples) {
  uint64_t hash = examples.size();
  for (const Example& e : examples) {
    for (size_t t = 0; t < e.ids.size(); ++t)
      hash = mix64(hash, static_cast<uint64_t>(e.ids[t]) * 4 + static_cast<uint64_t>(e.kinds[t]));
  }
  return hash;
}

std::vector<int64_t> lengths_of(std::span<const Example> examples) {
  std::vector<int64_t> lengths;
  for (const Example& e : examples) lengths.push_back(static_cast<int64_t>(e.ids.size()));
  return lengths;
}

int64_t longest_of(std::span<const Example> examples) {
  int64_t longest = 0;
  for (const Example& e : examples) longest = std::max(longest, static_cast<int64_t>(e.ids.size()));
  return longest;
}

/// A record of the step in work.
struct RecordWork {
  const Example* example = nullptr;
  LossPositions loss;
  std::vector<float> weights;
  std::vector<int64_t> positions;

  int64_t tokens() const { return static_cast<int64_t>(example->ids.size()); }
};

}  // namespace

struct Trainer::Impl {
  Device& device;
  const Model& model;
  Adapter& adapter;
  std::span<const Example> examples;
  TrainOptions options;
  TrainSizes sizes;
  TrainPlan plan;
  BatchOrder order;
  int64_t steps = 0;
  int64_t step = 0;
  int64_t tokens = 0;
  double last_loss = 0;

  Buffer gradients, m, v;
  TrainingPass pass;
  Profile profile;
  Exec exec;
  // Rows of the trained embedding that ever had a gradient: AdamW leaves the others alone, wherever their moments lie.
  std::vector<char> met;
  std::vector<int32_t> met_rows;

  Impl(Device& d, const Model& model_in, Adapter& adapter_in, std::span<const Example> examples_in,
       const TrainOptions& options_in)
      : device(d),
        model(model_in),
        adapter(adapter_in),
        examples(examples_in),
        options(options_in),
        sizes(checked_sizes()),
        plan(plan_training(device, model.config(), adapter.config(), options, sizes)),
        order(lengths_of(examples_in), options_in.seed, options_in.shuffle, options_in.group_by_length,
              options_in.batch * options_in.accumulation),
        pass(device, model, adapter, options, sizes, plan),
        exec{device, pass.scratch(), options.compute, d.kind() == DeviceKind::kCpu ? &profile : nullptr} {
    steps = options.steps > 0
                ? options.steps
                : std::max<int64_t>(
                      1, static_cast<int64_t>(std::ceil(options.epochs * static_cast<double>(order.steps_per_epoch()))));
    const int64_t n = adapter.elements();
    gradients = device.allocate("gradients", MemoryUse::kOptimizer, n * 4);
    for (auto [moment, name] : {std::pair(&m, "adamw m"), std::pair(&v, "adamw v")}) {
      *moment = plan.moments_on_host ? device.allocate_host(name, MemoryUse::kOptimizer, n * 4)
                                     : device.allocate(name, MemoryUse::kOptimizer, n * 4);
    }
    gradients.fill_zero();
    m.fill_zero();
    v.fill_zero();
    if (adapter.config().train_embed_tokens) {
      met.resize(static_cast<size_t>(model.config().vocabulary));
      met_rows.reserve(met.size());
    }
    prepare_attention();
  }

  /// For every length that the run will meet, so that no step makes what a length needs.
  void prepare_attention() {
    const ModelConfig& c = model.config();
    std::set<int64_t> lengths;
    const auto meet = [&](int64_t length) { lengths.insert(round_up(length, device.row_multiple())); };
    for (int64_t s = 0; s < std::min(steps, order.steps_per_epoch()); ++s)
      for (const int64_t r : order.batch(s)) meet(static_cast<int64_t>(examples[static_cast<size_t>(r)].ids.size()));
    for (const int64_t length : distill_lengths(options.distill)) meet(length);
    for (const int64_t n : lengths) ops::attention_prepare(exec, n, n, c.heads, c.kv_heads, c.head_dim, /*training=*/true);
  }

  /// Everything that can be refused is, before memory is taken.
  TrainSizes checked_sizes() const {
    check_ids();
    check_distilled_head();
    check_distillation(options.distill, model.config().vocabulary);
    TrainSizes out = train_sizes(examples, options, model.weight_bytes());
    out.longest = round_up(out.longest, device.row_multiple());
    return out;
  }
  /// Tokens that records share a pass up to; 0: each has its own. No more than half of the longest record, which scratch is made
  /// for: the attention of one record among several copies its lse beside what it takes alone.
  int64_t pack_room() const {
    if (!can_pack(model, adapter)) return 0;
    const int64_t wanted = options.pack_tokens < 0 ? device.pack_rows() : options.pack_tokens;
    return std::min(wanted, sizes.longest / 2);
  }
  bool with_documents() const { return options.lm_loss_weight != 0; }

  void check_distilled_head() const {
    if (options.distill.weight == 0) return;
    if (adapter.config().train_head || (adapter.config().train_embed_tokens && adapter.config().tie_embeddings))
      throw_input("self-distillation holds the hidden states under one head: it does not go with a trained lm_head");
  }

  void check_ids() const {
    for (const Example& e : examples) {
      for (const int32_t id : e.ids) {
        if (id < 0 || id >= model.config().vocabulary) {
          throw_input("record {}: token id {} is outside the model's vocabulary of {}; the tokenizer belongs to another model",
                      e.record, id, model.config().vocabulary);
        }
      }
    }
  }

  TensorView flat_gradients() const { return gradients.view(DType::kF32, {adapter.elements()}); }
  static uint64_t dropout_stream(int64_t record, int64_t at_step) {
    return mix64(kDropoutStream, mix64(static_cast<uint64_t>(record), static_cast<uint64_t>(at_step)));
  }
  void mark_met(std::span<const int32_t> ids) {
    if (met.empty()) return;
    for (const int32_t id : ids) met[static_cast<size_t>(id)] = 1;
  }

  std::vector<RecordWork> works_of(std::span<const int64_t> records, int64_t at_step) const {
    std::vector<RecordWork> works;
    for (const int64_t r : records) {
      RecordWork& work = works.emplace_back();
      work.example = &examples[static_cast<size_t>(r)];
      work.loss = loss_positions(*work.example, with_documents(), options.lm_loss_tokens, options.seed, at_step);
      fill_positions(options.skip, work.tokens(), options.seed, work.example->record, at_step, work.positions);
    }
    return works;
  }

  /// The records of one pass, from works[from] on: as many as have room together, one at least.
  std::vector<PassRecord> pass_from(std::span<const RecordWork> works, size_t from, int64_t room) const {
    std::vector<PassRecord> together;
    int64_t filled = 0;
    for (const RecordWork& work : works.subspan(from)) {
      filled += round_up(work.tokens(), device.row_multiple());
      if (!together.empty() && filled > room) break;
      together.push_back({work.example->ids, work.positions, &work.loss, work.weights});
    }
    return together;
  }

  StepMetrics forward_backward(std::span<const int64_t> records, int64_t at_step) {
    const Stopwatch watch;
    step = at_step;
    gradients.fill_zero();
    std::vector<RecordWork> works = works_of(records, at_step);
    StepMetrics metrics;
    int64_t answers = 0;
    int64_t documents = 0;
    for (const RecordWork& work : works) {
      answers += work.loss.answers;
      documents += work.loss.documents;
      metrics.tokens += work.tokens();
      mark_met(work.example->ids);
    }
    const DocumentWeight document_weight{
        .lm = options.lm_loss_weight, .far = options.lm_loss_far, .far_from = model.config().max_position};
    for (RecordWork& work : works) fill_loss_weights(work.loss, answers, documents, document_weight, work.weights);
    const int64_t room = pack_room();
    // Records of like length together, so that the short ones fill a pass.
    if (room > 0)
      std::stable_sort(works.begin(), works.end(), [](const auto& a, const auto& b) { return a.tokens() < b.tokens(); });
    LossSums total;
    for (size_t from = 0; from < works.size();) {
      const std::vector<PassRecord> together = pass_from(works, from, room);
      const LossSums sums = pass.records(exec, together, dropout_stream(works[from].example->record, at_step), flat_gradients());
      total.answers += sums.answers;
      total.documents += sums.documents;
      total.far_documents += sums.far_documents;
      from += together.size();
    }
    metrics.answer_loss = answers > 0 ? total.answers / static_cast<double>(answers) : 0.0;
    metrics.lm_loss = documents > 0 ? total.documents / static_cast<double>(documents) : 0.0;
    metrics.loss = metrics.answer_loss + options.lm_loss_weight * metrics.lm_loss;
    if (documents > 0 && options.lm_loss_far != 1)
      metrics.loss += options.lm_loss_weight * (options.lm_loss_far - 1) * total.far_documents / static_cast<double>(documents);
    if (options.distill.weight > 0) {
      distill(at_step, metrics);
      metrics.loss += options.distill.weight * metrics.distill_loss;
    }
    metrics.seconds = watch.seconds();
    return metrics;
  }

  /// The mean KL of the step's window.
  void distill(int64_t at_step, StepMetrics& metrics) {
    const DistillOptions& d = options.distill;
    const DistillWindow window = distill_window(d, options.seed, at_step);
    const auto rows = static_cast<double>(window.rows.size());
    const double sum = pass.distill(exec, window.ids, window.rows, d.base_rope, d.weight / rows,
                                    dropout_stream(kDistillRecord, at_step), flat_gradients());
    mark_met(window.ids);
    metrics.distill_loss = sum / rows;
    metrics.distill_record = window.record;
  }

  /// Clip, AdamW. Returns the gradient norm before clipping.
  double update(double learning_rate, int64_t at_step) {
    const TensorView g = flat_gradients();
    const double norm = std::sqrt(ops::sum_of_squares(exec, g));
    ops::AdamWArgs args;
    args.learning_rate = static_cast<float>(learning_rate);
    args.beta1 = static_cast<float>(options.beta1);
    args.beta2 = static_cast<float>(options.beta2);
    args.eps = static_cast<float>(options.eps);
    args.weight_decay = static_cast<float>(options.weight_decay);
    args.step = at_step + 1;
    // torch.nn.utils.clip_grad_norm_
    if (options.max_grad_norm > 0) args.gradient_scale = static_cast<float>(std::min(1.0, options.max_grad_norm / (norm + 1e-6)));
    apply(args, g);
    return norm;
  }

  /// AdamW on everything that can change: of a trained embedding only the rows met so far, unless something reaches all of them.
  void apply(const ops::AdamWArgs& args, const TensorView& g) {
    const auto [values, first, second] = state();
    const bool dense = !adapter.config().train_embed_tokens || adapter.config().tie_embeddings || args.weight_decay != 0;
    if (dense) return ops::adamw_step(exec, args, values, g, first, second);
    met_rows.clear();
    for (size_t row = 0; row < met.size(); ++row) {
      if (met[row] != 0) met_rows.push_back(static_cast<int32_t>(row));
    }
    const TensorView table = adapter.embed_tokens(values);
    ops::adamw_step_rows(exec, args, met_rows, table, adapter.embed_tokens(g), adapter.embed_tokens(first),
                         adapter.embed_tokens(second));
    const int64_t begin = table.ptr<float>() - values.ptr<float>();
    for (const auto& [from, to] : {std::pair(int64_t{0}, begin), std::pair(begin + table.elements(), values.elements())})
      ops::adamw_step(exec, args, values.rows(from, to), g.rows(from, to), first.rows(from, to), second.rows(from, to));
  }

  /// From restored moments: rows whose moments are zero change by nothing.
  void find_met_rows(const TensorView& first, const TensorView& second) {
    if (met.empty()) return;
    const int64_t cols = model.config().hidden;
    const float* m_rows = adapter.embed_tokens(first).ptr<float>();
    const float* v_rows = adapter.embed_tokens(second).ptr<float>();
    for (size_t row = 0; row < met.size(); ++row) {
      const auto at = static_cast<int64_t>(row) * cols;
      const auto zero = [&](const float* values) {
        return std::all_of(values + at, values + at + cols, [](float x) { return x == 0; });
      };
      met[row] = zero(m_rows) && zero(v_rows) ? 0 : 1;
    }
  }

  /// What a checkpoint holds, in its order.
  std::array<TensorView, 3> state() const {
    return {adapter.flat(), m.view(DType::kF32, {adapter.elements()}), v.view(DType::kF32, {adapter.elements()})};
  }

  /// Everything that the losses depend on, for the check on resuming.
  std::map<std::string, std::string> run_identity() const {
    const LoraConfig& l = adapter.config();
    std::map<std::string, std::string> run;
    run["model"] = fmt::format("{:016x}", model.fingerprint());
    run["data"] = fmt::format("{:016x}", hash_examples(examples));
    run["steps"] = std::to_string(steps);
    run["batch"] = std::to_string(options.batch * options.accumulation);
    run["learning-rate"] = fmt::format("{}", options.learning_rate);
    run["schedule"] = fmt::format("{} {}", name_of(options.schedule), options.warmup_steps);
    run["adamw"] =
        fmt::format("{} {} {} {} {}", options.weight_decay, options.beta1, options.beta2, options.eps, options.max_grad_norm);
    run["loss"] = fmt::format("{} {}", options.lm_loss_weight, options.lm_loss_tokens);
    if (options.lm_loss_far != 1) run["far loss"] = fmt::format("{}", options.lm_loss_far);
    if (options.skip.share > 0) run["skipped positions"] = fmt::format("{} {}", options.skip.share, options.skip.length);
    if (options.distill.weight > 0) {
      const DistillOptions& d = options.distill;
      run["distillation"] = fmt::format("{} {} {} {:016x}", d.weight, d.tokens, fmt::join(d.lengths, ","), distill_hash(d));
      if (!d.records.empty()) run["distilled records"] = fmt::format("{} {}", d.record_share, d.record_tokens);
    }
    run["order"] = fmt::format("{} {} {}", options.seed, options.shuffle, options.group_by_length);
    run["lora"] = fmt::format("{} {} {} {} {} {}", l.r, l.alpha, l.dropout, l.rslora, l.targets.size(), adapter.elements());
    run["rope"] =
        fmt::format("{} {} {}", name_of(model.config().rope.type), model.config().rope.theta, model.config().rope.factor);
    run["compute-dtype"] = name_of(options.compute);
    run["threads"] = std::to_string(device.threads());
    run["cpu"] = device.kind() == DeviceKind::kCpu ? std::string(name_of(ops::cpu_isa())) : device.description();
    run["version"] = TENFOLD_VERSION;
    return run;
  }

  void check_identity(const CheckpointState& state) const {
    for (const auto& [key, value] : run_identity()) {
      const auto found = state.run.find(key);
      const std::string stored = found == state.run.end() ? "nothing" : found->second;
      if (stored == value) continue;
      if (key == "threads" || key == "cpu" || key == "version") {
        spdlog::warn(
            "the checkpoint was made with {} {}, this run has {}: losses may differ in the last bits from an uninterrupted run",
            key, stored, value);
      } else {
        throw_input(
            "--resume {}: the checkpoint was made with {} \"{}\", this run has \"{}\"; use the same options or another --out",
            options.out, key, stored, value);
      }
    }
  }

  void cut_metrics(int64_t keep_steps) const {
    const std::string path = options.out + "/metrics.jsonl";
    if (!std::filesystem::exists(path)) return;
    std::string lines;
    try {
      for_each_json_line(path, [&](Json& line, int64_t) {
        if (line.contains("step") && line["step"].is_number_integer() && line["step"].get<int64_t>() <= keep_steps)
          lines += line.dump() + "\n";
      });
    } catch (const InputError& error) {
      spdlog::warn("{}: lines after a torn one are dropped ({})", path, error.what());
    }
    write_file_atomically(path, lines);
  }

  void save(const TrainCallbacks& callbacks) {
    const auto [values, first, second] = state();
    const HostCopy on_host[] = {{device, values}, {device, first}, {device, second}};
    save_checkpoint(options.out, {step, tokens, last_loss, run_identity()},
                    {on_host[0].view(), on_host[1].view(), on_host[2].view()});
    if (callbacks.on_checkpoint) callbacks.on_checkpoint(step);
  }

  TrainResult run(const TrainCallbacks& callbacks) {
    make_directories(options.out);
    if (step == 0) cut_metrics(0);
    TrainResult result;
    const Stopwatch watch;
    {
      LineAppender lines(options.out + "/metrics.jsonl");
      if (step > 0) check(callbacks, lines, result);  // its line may be what the stop cut off
      while (!result.interrupted && step < steps && !(callbacks.finished && callbacks.finished())) {
        if (callbacks.should_stop && callbacks.should_stop()) {
          result.interrupted = true;
          break;
        }
        const StepMetrics metrics = one_step();
        lines.append(metrics_line(metrics));
        if (callbacks.on_step) callbacks.on_step(metrics, steps);
        check(callbacks, lines, result);
        if (options.checkpoint_every > 0 && step % options.checkpoint_every == 0 && step < steps) save(callbacks);
      }
    }
    result.seconds = watch.seconds() - result.check_seconds;
    result.stopped_early = !result.interrupted && step < steps;
    save(callbacks);
    result.steps = step;
    result.tokens = tokens;
    result.final_loss = last_loss;
    if (!result.interrupted) {
      result.adapter = options.out + "/" + options.adapter_folder;
      adapter.save(result.adapter, model, options.chat_template, options.adapter_dtype);
    }
    return result;
  }

  /// What the caller evaluates after a step.
  void check(const TrainCallbacks& callbacks, LineAppender& lines, TrainResult& result) {
    if (!callbacks.check) return;
    const Stopwatch watch;
    if (const std::optional<StepCheck> outcome = callbacks.check(step)) {
      if (outcome->interrupted) {
        result.interrupted = true;
      } else {
        lines.append(outcome->line);
        if (outcome->checkpoint) save(callbacks);
      }
    }
    result.check_seconds += watch.seconds();
  }

  StepMetrics one_step() {
    const Stopwatch watch;
    const int64_t at = step;
    const std::vector<int64_t> records = order.batch(at);
    StepMetrics metrics = forward_backward(records, at);
    if (!std::isfinite(metrics.loss)) {
      throw_input(
          "step {}: the loss is {}; the run diverged. The last checkpoint is whole: lower --learning-rate or raise "
          "--warmup-steps",
          at + 1, metrics.loss);
    }
    metrics.learning_rate = learning_rate_at(options, at, steps);
    metrics.grad_norm = update(metrics.learning_rate, at);
    step = at + 1;
    tokens += metrics.tokens;
    last_loss = metrics.loss;
    metrics.step = step;
    metrics.total_tokens = tokens;
    metrics.seconds = watch.seconds();
    metrics.peak_bytes = peak_resident_bytes();
    return metrics;
  }

  static std::string metrics_line(const StepMetrics& s) {
    Json line;
    line["step"] = s.step;
    line["loss"] = s.loss;
    line["answer_loss"] = s.answer_loss;
    line["lm_loss"] = s.lm_loss;
    line["distill_loss"] = s.distill_loss;
    if (s.distill_record >= 0) line["distill_record"] = s.distill_record;
    line["learning_rate"] = s.learning_rate;
    line["grad_norm"] = s.grad_norm;
    line["tokens"] = s.tokens;
    line["total_tokens"] = s.total_tokens;
    line["seconds"] = s.seconds;
    line["tokens_per_second"] = static_cast<double>(s.tokens) / s.seconds;
    line["peak_bytes"] = s.peak_bytes;
    return line.dump();
  }
};

TrainSizes train_sizes(std::span<const Example> examples, const TrainOptions& options, int64_t weight_bytes) {
  TrainSizes sizes;
  sizes.longest = std::max(longest_of(examples), distill_length(options.distill));
  sizes.distill_rows = distill_rows(options.distill);
  sizes.head_rows = std::max(most_loss_rows(examples, options.lm_loss_weight != 0, options.lm_loss_tokens), sizes.distill_rows);
  sizes.weight_bytes = weight_bytes;
  return sizes;
}

Trainer::Trainer(Device& device, const Model& model, Adapter& adapter, std::span<const Example> examples,
                 const TrainOptions& options)
    : impl_(std::make_unique<Impl>(device, model, adapter, examples, options)) {}
Trainer::~Trainer() = default;

int64_t Trainer::total_steps() const { return impl_->steps; }

int64_t Trainer::resume() {
  const auto tensors = impl_->state();
  const HostCopy on_host[] = {{impl_->device, tensors[0]}, {impl_->device, tensors[1]}, {impl_->device, tensors[2]}};
  const auto state = load_newest_checkpoint(impl_->options.out, {on_host[0].view(), on_host[1].view(), on_host[2].view()});
  if (!state) {
    impl_->cut_metrics(0);
    return 0;
  }
  impl_->check_identity(*state);
  impl_->find_met_rows(on_host[1].view(), on_host[2].view());
  if (impl_->device.kind() != DeviceKind::kCpu) {
    for (size_t i = 0; i < tensors.size(); ++i)
      impl_->device.copy_in(tensors[i].data, on_host[i].view().data, tensors[i].bytes());
  }
  impl_->step = state->step;
  impl_->tokens = state->tokens;
  impl_->last_loss = state->last_loss;
  impl_->cut_metrics(state->step);
  return state->step;
}

TrainResult Trainer::run(const TrainCallbacks& callbacks) { return impl_->run(callbacks); }
StepMetrics Trainer::forward_backward(std::span<const int64_t> records, int64_t step) {
  return impl_->forward_backward(records, step);
}
double Trainer::update(double learning_rate, int64_t step) { return impl_->update(learning_rate, step); }
TensorView Trainer::gradients() const { return impl_->flat_gradients(); }
Profile& Trainer::profile() { return impl_->profile; }
void Trainer::want_profile(bool wanted) { impl_->exec.profile = wanted ? &impl_->profile : nullptr; }
Device& Trainer::device() { return impl_->device; }

}  // namespace tenfold
