// eval generation: answers and continuations, and their rouge.
#include "cli/eval_support.h"
#include "cli/sampling_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/generation.h"

#include <filesystem>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

class EvalGenerationVerb final : public Verb {
 public:
  std::string name() const override { return "eval generation"; }
  std::string summary() const override { return "Answer conversations or go on with texts, and compare by rouge"; }
  std::string examples() const override {
    return "  tenfold eval generation --model M --data conversations.jsonl --max-new-tokens 128 --out runs/base\n"
           "  tenfold eval generation --model M --data narrativeqa.json --out runs/base\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Texts");
    table
        .add("data", options_.data, "FILE",
             "JSON lines {conversations} or {text}, or one object {context, answer}, asked greedily for 20 tokens")
        .required = true;
    table.add("max-num", options_.max_num, "N", "Only the first N rows; 0: all");
    table.add("min-length", options_.min_length, "N", "Leave out prompts of fewer tokens");
    table.add("max-length", options_.max_length, "N", "Leave out prompts of more tokens; a {text} is cut to it");
    table.group("Answers (where not given: the checkpoint's generation_config.json, else greedy)");
    table.add_switch("do-sample", do_sample_, "Draw the answer; --no-do-sample: always the likeliest token");
    declare_sampling(table, answers_);
    table.add_switch("strict-reference", options_.strict_reference,
                     "Bug-compatible with the published evaluation (docs/guide.md)");
    declare_eval_output(table, output_, "generation");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    check_sampling(answers_, errors);
    if (options_.max_num < 0) errors.push_back(fmt::format("--max-num: expected 0 or more, got {}", options_.max_num));
    if (options_.min_length < 0 || options_.min_length > options_.max_length) {
      errors.push_back(fmt::format("--min-length {} and --max-length {}: expected 0 or more, and not falling",
                                   options_.min_length, options_.max_length));
    }
  }

  int run(Context& context) override {
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    settle_sampling(context);
    prompted.settle(options_.decoding, options_.strict_reference);
    const GenerationTask task = make_generation_task(prompted.tokenizer, prompted.chat, options_);
    if (task.left_out > 0) context.console.note(fmt::format("{} rows left out by their length", task.left_out));
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task, "rows", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_generation(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const GenerationResult& result) {
          print(context, result);
          if (result.run.interrupted || !layout) return;
          const fs::path data(options_.data);
          write_reference_files(
              *layout, {{data.stem().string() + ".result" + data.extension().string(), result.published_results}}, result.rouge);
        });
  }

 private:
  /// The options that were given, on top of the checkpoint's own.
  void settle_sampling(const Context& context) {
    const fs::path path = fs::path(model_.model) / "generation_config.json";
    Json own = Json::object();
    if (fs::is_regular_file(path)) own = parse_json(read_text(path.string()), path.string());
    if (!own.is_object()) throw_input("{}: expected an object, got {}", path.string(), own.type_name());
    const auto given = [&](const char* option) { return context.options.given(option); };
    const auto number = [&](const char* key, double fallback) {
      return own.contains(key) && own[key].is_null() ? fallback : json_number_or(own, key, fallback, path.string());
    };
    const bool demo = is_demo();
    bool draws = !demo && json_bool_or(own, "do_sample", false, path.string());
    if (given("temperature")) draws = answers_.temperature > 0;
    if (given("do-sample")) draws = do_sample_;
    if (!given("temperature")) answers_.temperature = number("temperature", 1);
    if (!given("top-p")) answers_.top_p = number("top_p", 1);
    if (!given("top-k")) answers_.top_k = static_cast<int64_t>(number("top_k", 50));
    if (!given("max-new-tokens")) {
      answers_.max_new_tokens =
          demo ? 20 : static_cast<int64_t>(number("max_new_tokens", static_cast<double>(answers_.max_new_tokens)));
    }
    if (draws && answers_.temperature <= 0) throw_input("--do-sample: expected a --temperature above 0, got 0");
    options_.decoding.max_new_tokens = answers_.max_new_tokens;
    if (draws) options_.decoding.sampling = sampling_of(answers_, context.common);
    context.console.note(draws ? fmt::format("answers of up to {} tokens, drawn (temperature {}, top-p {}, top-k {}, seed {})",
                                             answers_.max_new_tokens, answers_.temperature, answers_.top_p, answers_.top_k,
                                             context.common.seed)
                               : fmt::format("answers of up to {} tokens, greedy", answers_.max_new_tokens));
  }

  /// Whether the data is the published demo's single object.
  bool is_demo() const {
    const std::string text = read_text(options_.data);
    const std::string head = text.substr(0, 4096);
    return head.find("\"conversations\"") == std::string::npos && head.find("\"text\"") == std::string::npos &&
           head.find("\"context\"") != std::string::npos;
  }

  static void print(Context& context, const GenerationResult& result) {
    for (const Answered& answer : result.answers) {
      if (result.answers.size() > 3) break;  // a few are shown, many are in answers.jsonl
      context.console.line(fmt::format("{}: {}", answer.question->id, answer.output));
    }
    if (result.rouge.is_object()) {
      for (const auto& [key, value] : result.rouge.items())
        context.console.line(fmt::format("{:<8} {:.4f}", key, value.get<double>()));
    }
    add_summary(context, result.metrics,
                {"questions", "rouge", "without_target", "left_out_by_length", "truncated", "empty_answers", "timing"});
  }

  ModelOptions model_;
  GenerationOptions options_;
  AnswerOptions answers_;
  bool do_sample_ = false;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_generation_verb() { return std::make_unique<EvalGenerationVerb>(); }

}  // namespace tenfold::cli
