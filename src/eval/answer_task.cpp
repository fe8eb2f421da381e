#include "eval/answer_task.h"

#include "core/error.h"
#include "core/rng.h"

#include <algorithm>
#include <utility>

namespace tenfold {

Json generated_answer(LanguageModel& model, const Tokenizer& tokenizer, const EvalQuestion& question, const Decoding& decoding,
                      EvalTiming& timing) {
  const GenerateResult generated = model.generate(question.prompt, decoding.max_new_tokens, decoding.stop_ids, decoding.sampling);
  timing.reused_tokens = generated.reused_tokens;
  timing.new_tokens = static_cast<int64_t>(generated.ids.size());
  timing.prefill_seconds = generated.prefill_seconds;
  timing.decode_seconds = generated.decode_seconds;
  return {{"output", tokenizer.decode(generated.ids, {.skip_special = true, .clean_up = decoding.clean_up})},
          {"stopped", generated.stopped}};
}

int64_t AnswerTask::tokens_needed() const {
  int64_t most = 0;
  for (size_t i = 0; i < questions.size(); ++i)
    most = std::max(most, std::ssize(questions[i].prompt) + decoding(i).max_new_tokens);
  return most;
}

void check_capacity(std::string_view task, int64_t needed, const LanguageModel& model, std::string_view remedy) {
  if (needed <= model.capacity()) return;
  throw_input("eval {}: the longest prompt and its answer take {} tokens, but the session was made for {}; {}", task, needed,
              model.capacity(), remedy);
}

AnswerRun run_answers(LanguageModel& model, const Tokenizer& tokenizer, const AnswerTask& task, const AnswerScore& score,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  check_capacity(task.name, task.tokens_needed(), model, "leave out the longest questions");
  const AskFunction answer = [&](const EvalQuestion& question, EvalTiming& timing) {
    const auto index = static_cast<size_t>(&question - task.questions.data());
    Decoding decoding = task.decoding(index);
    // A question draws alike whichever were asked before, so that a resumed run ends up with the same bytes.
    if (decoding.sampling.temperature > 0) decoding.sampling.seed = mix64(decoding.sampling.seed, index);
    return generated_answer(model, tokenizer, question, decoding, timing);
  };
  return run_answers(task, answer, score, options, callbacks);
}

AnswerRun run_answers(const AnswerTask& task, const AskFunction& answer, const AnswerScore& score, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks) {
  const AskFunction ask = [&](const EvalQuestion& question, EvalTiming& timing) {
    Json line = answer(question, timing);
    line.update(score(question, line["output"].get<std::string>()));
    return line;
  };
  EvalRunOptions run_options = options;
  run_options.notes.update(task.notes);
  AnswerRun result;
  result.run = run_questions(task.config, task.questions, ask, run_options, callbacks);
  size_t next = 0;  // answers come in the order of the questions; an interrupted run lacks some
  for (const EvalQuestion& question : task.questions) {
    if (next == result.run.answers.size()) break;
    const Json& line = result.run.answers[next];
    if (json_string(line, "id", "answers.jsonl") != question.id) continue;
    ++next;
    Answered answered{&question, json_string(line, "output", "answers.jsonl: " + question.id), nullptr};
    answered.score = score(question, answered.output);
    result.answers.push_back(std::move(answered));
  }
  return result;
}

std::vector<std::string> row_texts(const Json& row, std::string_view key, std::string_view where) {
  const auto found = row.find(std::string(key));
  if (found == row.end()) throw_input("{}: {}: missing, expected a list of strings", where, key);
  if (!found->is_array()) throw_input("{}: {}: expected a list of strings, got {}", where, key, found->type_name());
  std::vector<std::string> texts;
  for (const Json& text : *found) {
    if (!text.is_string()) throw_input("{}: {}[{}]: expected a string, got {}", where, key, texts.size(), text.type_name());
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

}  // namespace tenfold
