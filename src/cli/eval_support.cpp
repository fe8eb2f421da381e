#include "cli/eval_support.h"

#include "core/error.h"
#include "ops/linear.h"

#include <algorithm>
#include <ctime>
#include <filesystem>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

/// FNV-1a of an adapter's values: the same directory may hold another adapter tomorrow.
std::string adapter_hash(const Adapter& adapter) {
  const HostCopy values = adapter.host_values();
  const TensorView& flat = values.view();
  return hash_of_text({static_cast<const char*>(flat.data), static_cast<size_t>(flat.bytes())});
}

/// --batch, or as many answers as a step carries at once, down to what fits.
int64_t answers_at_once(const EvalOutput& output, const LoadedModel& loaded, int64_t tokens, const CommonOptions& common) {
  if (output.batch < 0) throw_input("--batch: expected 0 or more, got {}", output.batch);
  if (output.batch > 0) return output.batch;
  int64_t most = ops::kGemvRows;
  while (most > 1 && !session_fits(loaded, tokens, most, common)) --most;
  return most;
}

}  // namespace

AskedModel::AskedModel(const ModelOptions& options, Context& context) {
  std::unique_ptr<LoadedModel>& place = context.kept_model != nullptr ? *context.kept_model : own_;
  if (place == nullptr) place = std::make_unique<LoadedModel>(load_model(options, context));
  model_ = place.get();
}

PromptedModel::PromptedModel(const ModelOptions& options, Context& context)
    : tokenizer(load_tokenizer(options.model)),
      chat(load_chat_template(options, tokenizer)),
      asked_(options, context),
      clean_up_(cleans_up_spaces(options.model)) {}

void declare_eval_output(OptionTable& table, EvalOutput& output, const std::string& task, bool answers) {
  output.task = task;
  table.group("Run");
  table.add("out", output.out, "DIR",
            "Run directory: answers and metrics go to eval/TASK in it; a stopped evaluation goes on there");
  table.add("task", output.task, "NAME", "Folder below eval/, where one run holds several evaluations of a kind");
  if (answers) {
    table.add("batch", output.batch, "N",
              "Answers written at once, each with a cache of its own; 0: as many as are worth it and fit into memory");
  }
  table.add("reference-layout", output.reference_layout, "DIR",
            "Also write the published system's files, as below its output_dir, when the evaluation is whole (docs/guide.md)");
}

void declare_benchmark(OptionTable& table, ModelOptions& model, BenchmarkOptions& options, std::vector<std::string>& saved,
                       const BenchmarkTexts& texts) {
  declare_model(table, model);
  table.find("model")->required = false;
  table.group(texts.group);
  table.add_many("data", options.data, "PATH...", texts.data);
  table.add_many("tasks", options.tasks, "NAME,...", texts.tasks);
  table.add("prompts", options.prompts, texts.prompts_metavar, texts.prompts);
  table.add("first", options.first, "N", "Only the first N records of each task; 0: all");
  table.add("max-length", options.max_length, "N", "Tokens of a prompt without its template; longer ones lose their middle");
  table.add_many("load-result", saved, "PATH...",
                 fmt::format("Score saved {} (or a folder of them), without a model", texts.saved));
  table.add_switch("strict-reference", options.strict_reference, "Bug-compatible with the published evaluation (docs/guide.md)");
}

void check_benchmark(const ModelOptions& model, const BenchmarkOptions& options, const std::vector<std::string>& saved,
                     std::vector<std::string>& errors) {
  if (saved.empty() && model.model.empty()) errors.push_back("--model PATH is missing");
  if (saved.empty() && options.data.empty()) errors.push_back("--data PATH is missing");
  if (options.max_length < 2) errors.push_back(fmt::format("--max-length: expected 2 or more, got {}", options.max_length));
  if (options.first < 0) errors.push_back(fmt::format("--first: expected 0 or more, got {}", options.first));
}

EvalRunOptions eval_run_options(const EvalOutput& output, const LoadedModel& loaded, const ModelOptions& options,
                                const Context& context, int64_t answer_tokens) {
  EvalRunOptions run;
  run.directory = (fs::path(output.out) / "eval" / output.task).string();
  const ModelConfig& config = loaded.model.config();
  run.model = {{"model", fs::path(options.model).filename().string()},
               {"fingerprint", fmt::format("{:016x}", loaded.model.fingerprint())},
               {"adapter", options.adapter},
               {"rope", rope_text(config.rope)},
               {"compute_dtype", std::string(name_of(loaded.compute))},
               {"load_in_4bit", options.load_in_4bit}};
  if (loaded.adapter) run.model["adapter_hash"] = adapter_hash(*loaded.adapter);
  if (answer_tokens > 0) run.at_once = answers_at_once(output, loaded, answer_tokens, context.common);
  // A GPU has other kernels for them than for one, so near ties may fall otherwise; on a CPU the answers are the same.
  if (run.at_once > 1 && loaded.device->kind() != DeviceKind::kCpu) run.model["answers_together"] = true;
  run.notes = {{"command", context.command_line}, {"version", TENFOLD_VERSION}, {"threads", loaded.device->threads()}};
  return run;
}

std::optional<ReferenceLayout> reference_layout_of(const EvalOutput& output, const ModelOptions& options,
                                                   const Context& context) {
  if (output.reference_layout.empty()) return std::nullopt;
  ReferenceLayout layout;
  layout.directory = output.reference_layout;
  layout.result_dir = reference_result_dir(options.model, options.adapter);
  layout.command = context.command_line;
  for (auto [name, value] : context.options.resolved_values()) {
    std::replace(name.begin(), name.end(), '-', '_');  // the published system's spelling
    layout.arguments[name] = parse_json(value, name);  // what TOML and JSON write alike: texts, numbers, lists
  }
  layout.unix_time = std::time(nullptr);
  return layout;
}

bool cleans_up_spaces(const std::string& model_path) {
  const fs::path config = fs::path(model_path) / "tokenizer_config.json";
  if (!fs::is_regular_file(config)) return false;
  return json_bool_or(parse_json(read_text(config.string()), config.string()), "clean_up_tokenization_spaces", false,
                      config.string());
}

std::unique_ptr<Session> open_session(LoadedModel& loaded, int64_t capacity, int64_t sequences, const CommonOptions& common) {
  const std::string remedy = sequences > 1 ? "lower --batch or evaluate shorter lengths" : "evaluate shorter lengths";
  const SessionOptions options = session_options(loaded, capacity, common, remedy, sequences);
  return std::make_unique<Session>(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
}

EvalCallbacks eval_callbacks(const Context& context, Progress& progress) {
  EvalCallbacks callbacks;
  callbacks.on_progress = [&progress](const EvalProgress& p) {
    std::string remark = p.tokens_per_second > 0 ? fmt::format("{:.0f} tokens/s", p.tokens_per_second) : std::string();
    if (p.answer != nullptr && p.answer->contains("hit")) {
      remark += fmt::format("  {} {}", (*p.answer)["id"].get<std::string>(), (*p.answer)["hit"].get<bool>() ? "hit" : "miss");
    }
    progress.update(p.done, remark);
  };
  callbacks.should_stop = [&context] { return context.stop.requested(); };
  return callbacks;
}

void print_tasks(Context& context, const Json& metrics, double scale, int digits) {
  context.console.line(fmt::format("{:<24}{:>10}{:>8}{:>11}{:>7}", "task", "questions", "score", "truncated", "empty"));
  for (const auto& [name, tally] : metrics.at("tasks").items()) {
    context.console.line(fmt::format("{:<24}{:>10}{:>8.{}f}{:>11}{:>7}", name, tally.at("questions").get<int64_t>(),
                                     scale * tally.at("mean").get<double>(), digits, tally.at("truncated").get<int64_t>(),
                                     tally.at("empty_answers").get<int64_t>()));
  }
}

void add_summary(Context& context, const Json& metrics, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    if (metrics.contains(field)) context.summary[field] = metrics[field];
  }
}

int eval_exit(Context& context, const EvalRun& run, size_t questions, const std::string& directory) {
  if (run.resumed > 0) context.console.note(fmt::format("{} answers were there already", run.resumed));
  if (!run.interrupted) {
    context.console.note(fmt::format("every answer is in {}", directory));
    return 0;
  }
  context.console.note(fmt::format("stopped after {} of {} questions; the answers are kept. Go on with:\n  {}",
                                   run.answers.size(), questions, context.command_line));
  return 128 + context.stop.number();
}

}  // namespace tenfold::cli
