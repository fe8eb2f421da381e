#include "cli/held_checks.h"
#include "cli/model_support.h"
#include "cli/run_directory.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "data/example.h"
#include "data/record.h"
#include "format/atomic_file.h"
#include "format/names.h"
#include "train/loss.h"
#include "train/trainer.h"

#include <cmath>
#include <filesystem>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

/// The records of a run as tokens.
struct Corpus {
  std::vector<Example> examples;
  EncodeReport report;
  std::string chat_template;
};

class TrainVerb final : public Verb {
 public:
  std::string name() const override { return "train"; }
  std::string summary() const override { return "LoRA/QLoRA training of a long-context model; --resume goes on after a stop"; }
  std::string examples() const override {
    return "  tenfold train --config recipes/smollm2-8k-cpu.toml\n"
           "  tenfold train --model SmolLM2.gguf --data long.jsonl --max-length 8K --rope-theta 2e5 --out runs/mine\n"
           "  tenfold train --config recipes/smollm2-80k-gpu.toml --held-needles recipes/held --held-haystack novel.txt "
           "--held-patience 4\n"
           "  tenfold train --config runs/mine/config.toml --resume\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Data");
    table.add_many("data", data_, "PATH...", "JSON lines of conversations or text, or folders of them; X[N] takes N at random")
        .required = true;
    table.add("data-root", data_root_, "DIR", "What long-llm: stands for in --data");
    table.add("max-length", max_length_, "N", "Most tokens of a record");
    table.add("too-long", too_long_, "NAME", "A longer record is an error, or: drop, split");
    declare_lora(table, lora_);
    declare_learning(table, learning_);
    declare_held(table, held_);
    table.group("Run");
    table.add("out", out_, "DIR", "Run directory: config.toml, metrics.jsonl, adapter/, checkpoint/");
    table.add_switch("resume", resume_, "Go on from the newest checkpoint in --out; without one, start");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    check_held(held_, errors);
    check_lora(lora_, errors);
    check_learning(learning_, errors);
    if (max_length_ < 2) errors.push_back(fmt::format("--max-length: expected 2 or more, got {}", max_length_));
    try {
      (void)too_long_by_name(too_long_);
    } catch (const InputError& error) {
      errors.push_back(fmt::format("--too-long: {}", error.what()));
    }
  }

  int run(Context& context) override {
    require_fresh_directory();
    const Corpus corpus = read_corpus(context);
    ModelOptions model = model_;
    if (model.rope_length == 0) model.rope_length = max_length_;
    LoadedModel loaded = load_model(model, context);
    TrainOptions options = train_options_of(learning_, context.common);
    options.out = out_;
    if (options.skip.length == 0) options.skip.length = max_length_;
    options.compute = loaded.compute;
    options.chat_template = corpus.chat_template;
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    options.distill =
        distill_of(learning_, tokenizer, load_chat_template(model_, tokenizer), data_root_, options.seed, loaded.own_rope);
    check_distillation(options.distill, loaded.model.config().vocabulary);
    note_distillation(context, options.distill);
    decide_steps(options, static_cast<int64_t>(corpus.examples.size()));
    if (!loaded.adapter) loaded.adapter = Adapter::create(*loaded.device, loaded.model, lora_of(lora_), options.seed);
    std::optional<HeldChecks> held;
    if (held_.wanted()) {
      held.emplace(held_, model_, loaded.model.config(), max_length_, options.steps);
      options.beside = held->buffers(*loaded.device, loaded.model.config(), loaded.adapter->config(), loaded.compute);
      if (held->questions() > 0) options.adapter_folder = "adapter-last";
      context.console.note(fmt::format("at each check: {}", held->text()));
    }
    const TrainSizes sizes = train_sizes(corpus.examples, options, loaded.model.weight_bytes());
    const TrainPlan plan = plan_training(*loaded.device, loaded.model.config(), loaded.adapter->config(), options, sizes);
    if (context.common.dry_run) {
      print_train_plan(context.console, *loaded.device, plan);
      add_train_plan(context, *loaded.device, plan);
      return 0;
    }
    const std::string beside = plan.host.total() > 0 ? fmt::format(" and {} of the host", bytes_text(plan.host.total())) : "";
    context.console.note(fmt::format("planned memory {}{}; {} steps; checkpoints every {} steps", bytes_text(plan.memory.total()),
                                     beside, options.steps, options.checkpoint_every));
    make_directories(out_);
    const DirectoryLock alone(out_);
    Trainer trainer(*loaded.device, loaded.model, *loaded.adapter, corpus.examples, options);
    const int64_t from = resume_ ? trainer.resume() : 0;
    if (resume_) {
      context.console.note(from > 0 ? fmt::format("resuming after step {} of {}", from, trainer.total_steps())
                                    : fmt::format("{} has no checkpoint to resume from: starting at step 0", out_));
    }
    write_config(context, loaded, plan);
    if (held) {
      held->open(loaded);
      held->restore(out_, context.console);
    }
    TrainCallbacks callbacks;
    callbacks.should_stop = [&] { return context.stop.requested(); };
    if (held) {
      callbacks.check = [&](int64_t step) { return held->check(step, loaded, options, context.console, callbacks.should_stop); };
      callbacks.finished = [&] { return !held->history().why_done().empty(); };
    }
    return train(context, trainer, from, callbacks, held);
  }

 private:
  /// A finished or begun run is never overwritten by accident.
  void require_fresh_directory() const {
    if (resume_ || !fs::exists(fs::path(out_) / "metrics.jsonl")) return;
    throw_input("--out {}: there is a run already; --resume goes on with it, another --out starts a new one", shown(out_));
  }

  Corpus read_corpus(Context& context) const {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    const ChatTemplate chat = load_chat_template(model_, tokenizer);
    const std::vector<Record> records = load_records(data_, data_root_, static_cast<uint64_t>(context.common.seed));
    Corpus corpus;
    corpus.chat_template = chat.name();
    corpus.examples = encode_records(records, tokenizer, chat, max_length_, too_long_by_name(too_long_), corpus.report);
    const EncodeReport& r = corpus.report;
    if (corpus.examples.empty())
      throw_input("--data: of {} records none is left to train on ({} too long)", r.records, r.dropped);
    context.console.note(
        fmt::format("data: {} records, {} kept ({} dropped, {} split), {} tokens ({} of answers), longest {}; template {}",
                    r.records, r.kept, r.dropped, r.split, r.tokens, r.answer_tokens, r.longest, chat.name()));
    return corpus;
  }

  static void note_distillation(Context& context, const DistillOptions& distill) {
    if (distill.records.empty() || distill.weight == 0) return;
    size_t tokens = 0;
    for (const DistillRecord& record : distill.records) tokens += record.ids.size();
    const double share = distill.text.empty() ? 1.0 : distill.record_share;
    context.console.note(fmt::format("self-distillation: {} conversations of {} tokens together, in {:.0f} % of the steps",
                                     distill.records.size(), tokens, 100 * share));
  }

  void decide_steps(TrainOptions& options, int64_t records) const {
    const int64_t a_step = options.batch * options.accumulation;
    if (options.steps == 0) {
      const auto per_epoch = static_cast<double>((records + a_step - 1) / a_step);
      options.steps = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(options.epochs * per_epoch)));
    }
    if (options.warmup_steps == 0)
      options.warmup_steps = static_cast<int64_t>(std::ceil(learning_.warmup_ratio * static_cast<double>(options.steps)));
    if (options.checkpoint_every == 0) options.checkpoint_every = std::max<int64_t>(1, options.steps / 20);
  }

  void write_config(const Context& context, const LoadedModel& loaded, const TrainPlan& plan) const {
    make_directories(out_);
    std::vector<std::string> inputs = {model_.model};
    for (const auto* paths : {&data_, &learning_.distill_text, &learning_.distill_data})
      inputs.insert(inputs.end(), paths->begin(), paths->end());
    std::vector<std::string> facts = {fmt::format("model fingerprint {:016x}", loaded.model.fingerprint()),
                                      fmt::format("RoPE {}", rope_text(loaded.model.config().rope)),
                                      fmt::format("compute {}, {} threads", name_of(loaded.compute), loaded.device->threads()),
                                      fmt::format("planned bytes {}", plan.memory.total())};
    if (!loaded.rope_reason.empty()) facts.push_back(fmt::format("--rope-theta auto: {}", loaded.rope_reason));
    write_run_config((fs::path(out_) / "config.toml").string(), context, facts, inputs);
    Json planned = Json::array();
    for (const MemoryPlan* part : {&plan.memory, &plan.host}) {
      for (const PlannedBuffer& row : part->buffers) {
        planned.push_back({{"name", row.name},
                           {"use", std::string(name_of(row.use))},
                           {"bytes", row.bytes},
                           {"where", part == &plan.host ? "host" : "device"}});
      }
    }
    write_file_atomically((fs::path(out_) / "memory.json").string(), Json{{"planned", planned}}.dump(2) + "\n");
  }

  int train(Context& context, Trainer& trainer, int64_t from, TrainCallbacks& callbacks,
            const std::optional<HeldChecks>& held) const {
    Progress progress(context.console, "training", trainer.total_steps(), "steps");
    progress.update(from);
    int64_t tokens_here = 0;
    const bool distills = (!learning_.distill_text.empty() || !learning_.distill_data.empty()) && learning_.distill_weight > 0;
    callbacks.on_step = [&](const StepMetrics& m, int64_t) {
      tokens_here += m.tokens;
      progress.update(m.step, fmt::format("loss {:.4f} (answers {:.4f}, text {:.4f}{})  {} tokens at {:.0f}/s", m.loss,
                                          m.answer_loss, m.lm_loss, distills ? fmt::format(", KL {:.4f}", m.distill_loss) : "",
                                          m.tokens, static_cast<double>(m.tokens) / std::max(m.seconds, 1e-9)));
    };
    TrainResult result = trainer.run(callbacks);
    progress.finish();
    if (held && held->questions() > 0 && !result.interrupted) {
      held->keep_best(out_);
      result.adapter = (fs::path(out_) / "adapter").string();
      report_held(context, *held, result);
    }
    report(context, trainer, result, tokens_here);
    return result.interrupted ? 128 + context.stop.number() : 0;
  }

  static void report_held(Context& context, const HeldChecks& held, const TrainResult& result) {
    const HeldHistory& history = held.history();
    if (result.stopped_early) context.console.note(fmt::format("ended after step {}: {}", result.steps, history.why_done()));
    context.console.note(fmt::format("the adapter is that of step {}, which found {} of {} held needles; {:.0f} s of checks",
                                     history.best_step(), history.best_hits(), held.questions(), result.check_seconds));
    context.summary["held"] = {{"best_step", history.best_step()},
                               {"hits", history.best_hits()},
                               {"total", held.questions()},
                               {"stopped_early", result.stopped_early},
                               {"seconds", result.check_seconds}};
  }

  void report(Context& context, Trainer& trainer, const TrainResult& result, int64_t tokens_here) const {
    const double rate = result.seconds > 0 ? static_cast<double>(tokens_here) / result.seconds : 0;
    if (result.interrupted) {
      std::string again = context.command_line;
      if (!resume_) again += " --resume";
      context.console.note(fmt::format("stopped after step {} of {}; everything is saved. Go on with:\n  {}", result.steps,
                                       trainer.total_steps(), again));
    } else {
      context.console.line(fmt::format("{} steps, {} tokens, final loss {:.4f}, {} ({:.0f} tokens/s), adapter {}", result.steps,
                                       result.tokens, result.final_loss, duration_text(result.seconds), rate, result.adapter));
    }
    context.summary["steps"] = result.steps;
    context.summary["tokens"] = result.tokens;
    context.summary["train_seconds"] = result.seconds;
    context.summary["tokens_per_second"] = rate;
    context.summary["final_loss"] = result.final_loss;
    context.summary["adapter"] = result.adapter;
    context.summary["interrupted"] = result.interrupted;
    context.summary["peak_host_bytes"] = peak_resident_bytes();
    if (trainer.device().kind() != DeviceKind::kCpu) context.summary["peak_gpu_bytes"] = trainer.device().peak_held_bytes();
  }

  ModelOptions model_;
  std::vector<std::string> data_;
  std::string data_root_ = "/data/long-llm";
  int64_t max_length_ = 8192;
  std::string too_long_ = "error";
  LoraOptions lora_;
  LearningOptions learning_;
  HeldOptions held_;
  std::string out_ = "runs/train";
  bool resume_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_train_verb() { return std::make_unique<TrainVerb>(); }

}  // namespace tenfold::cli
