// eval topic: which topic came first.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/python_json.h"
#include "eval/topic.h"

namespace tenfold::cli {
namespace {

class EvalTopicVerb final : public Verb {
 public:
  std::string name() const override { return "eval topic"; }
  std::string summary() const override { return "Topic retrieval: which topic of a long conversation came first"; }
  std::string examples() const override {
    return "  tenfold eval topic --model SmolLM2.gguf --data topic_retrieval.json --num-topics 5,10 --out runs/base\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Topics");
    table.add("data", options_.data, "FILE", "JSON lines {context, question, topics, num_topics}").required = true;
    table.add_many("num-topics", options_.num_topics, "N,...", "Records of so many topics, the others are left out");
    table.add("max-new-tokens", options_.decoding.max_new_tokens, "N", "Most tokens of an answer");
    table.add_switch("strict-reference", options_.strict_reference,
                     "Bug-compatible with the published evaluation (docs/guide.md)");
    declare_eval_output(table, output_, "topic");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    const int64_t most = options_.decoding.max_new_tokens;
    if (most < 1) errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", most));
  }

  int run(Context& context) override {
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_.decoding, options_.strict_reference);
    const AnswerTask task = make_topic_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_topic(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const TopicResult& result) {
          print(context, result);
          if (result.run.interrupted || !layout) return;
          write_reference_layout(*layout, python_json(result.published_results, /*ensure_ascii=*/true), result.published_metrics);
        });
  }

 private:
  static void print(Context& context, const TopicResult& result) {
    context.console.line(fmt::format("{:>8}{:>10}{:>11}{:>10}{:>9}", "topics", "tokens", "questions", "accuracy", "f1"));
    for (const TopicGroup& group : result.groups) {
      context.console.line(fmt::format("{:>8}{:>10}{:>11}{:>10.4f}{:>9.4f}", group.num_topics, group.mean_tokens, group.questions,
                                       group.accuracy(), group.f1));
    }
    for (const char* field : {"hits", "total", "by_num_topics"}) context.summary[field] = result.metrics[field];
  }

  ModelOptions model_;
  TopicOptions options_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_topic_verb() { return std::make_unique<EvalTopicVerb>(); }

}  // namespace tenfold::cli
