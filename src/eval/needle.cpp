#include "eval/needle.h"

#include "core/error.h"
#include "eval/haystack.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "eval/wording.h"
#include "text/case.h"

#include <algorithm>
#include <utility>

namespace tenfold {
namespace {

using Ids = std::vector<int32_t>;

}  // namespace

NeedleWording NeedleWording::from_json(const std::string& path) {
  NeedleWording wording;
  read_wording(path,
               {{"description", &wording.description},
                {"needle", &wording.needle},
                {"question", &wording.question},
                {"answer", &wording.answer}},
               {{"needle", "answer"}});
  return wording;
}

GridTask make_needle_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const NeedleOptions& options) {
  check_grid(options, "needle");
  NeedleWording wording = options.wording;
  if (wording.answer.empty()) wording.answer = strip(wording.needle);
  if (wording.answer.empty()) throw_input("eval needle: --needle: there are no words in it");
  const Ids description = tokenizer.encode(wording.description);
  const Ids needle = tokenizer.encode(wording.needle);
  const Ids question = tokenizer.encode(wording.question);
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  const std::string text = load_haystack(options.haystack, tokenizer, longest);
  RepeatedText haystack(text, tokenizer, "haystack " + options.haystack);

  GridTask task;
  task.name = "needle";
  task.options = options;
  task.config = grid_config(options, "needle", chat.name());
  task.config["haystack_hash"] = hash_of_text(text);
  task.config["wording"] = {{"description", wording.description},
                            {"needle", wording.needle},
                            {"question", wording.question},
                            {"answer", wording.answer}};
  task.notes["haystack"] = options.haystack;
  std::vector<GridQuestion> cells;
  for (const int64_t length : options.lengths) {
    const Ids& all = haystack.tokens_for(length);
    for (const int64_t depth : options.depths) {
      const HiddenNeedle hidden =
          hide_needle(description, needle, question, all, length, depth, options.strict_reference, "eval needle");
      cells.push_back({length, depth, hidden.before, wording.needle, wording.answer,
                       chat_prompt(tokenizer, chat, hidden.message, options.clean_up)});
    }
  }
  add_questions(task, std::move(cells));
  return task;
}

bool holds_answer(const std::string& output, const std::string& answer, bool strict_reference) {
  if (strict_reference) return output.find(answer) != std::string::npos;
  // "Sunflower oil" is an answer as good as "sunflower oil".
  return lower_case(output).find(lower_case(answer)) != std::string::npos;
}

GridResult run_needle(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks) {
  const auto recursion = task.options.strict_reference ? RougeRecursion::kReference : RougeRecursion::kNone;
  const ScoreFunction score = [recursion, strict = task.options.strict_reference](const EvalQuestion& question, GridCell& cell) {
    const std::string answer = json_string(question.about, "answer", question.id);
    cell.hit = holds_answer(cell.output, answer, strict);
    cell.exact = cell.output.find(strip(cell.target)) != std::string::npos;
    cell.score = python_round(rouge_l(cell.output, cell.target, recursion).f, 2);
  };
  return run_grid(model, tokenizer, task, score, "rouge", "exact", options, callbacks);
}

}  // namespace tenfold
