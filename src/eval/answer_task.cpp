#include "eval/answer_task.h"

#include "core/error.h"
#include "core/rng.h"

#include <algorithm>
#include <utility>

namespace tenfold {

namespace {

Json answer_from(const GenerateResult& generated, const Tokenizer& tokenizer, const Decoding& decoding, EvalTiming& timing) {
  timing.reused_tokens = generated.reused_tokens;
  timing.new_tokens = static_cast<int64_t>(generated.ids.size());
  timing.prefill_seconds = generated.prefill_seconds;
  timing.decode_seconds = generated.decode_seconds;
  return {{"output", tokenizer.decode(generated.ids, {.skip_special = true, .clean_up = decoding.clean_up})},
          {"stopped", generated.stopped}};
}

}  // namespace

Json generated_answer(LanguageModel& model, const Tokenizer& tokenizer, const EvalQuestion& question, const Decoding& decoding,
                      EvalTiming& timing) {
  const EvalQuestion* const one = &question;
  if (decoding.sampling.temperature <= 0) return generated_answers(model, tokenizer, {&one, 1}, decoding, {&timing, 1}).front();
  return answer_from(model.generate(question.prompt, decoding.max_new_tokens, decoding.stop_ids, decoding.sampling), tokenizer,
                     decoding, timing);
}

std::vector<Json> generated_answers(LanguageModel& model, const Tokenizer& tokenizer,
                                    std::span<const EvalQuestion* const> questions, const Decoding& decoding,
                                    std::span<EvalTiming> timings, const std::function<bool()>& should_stop) {
  TENFOLD_CHECK(decoding.sampling.temperature <= 0, "answers that are drawn are written one by one");
  std::vector<std::span<const int32_t>> prompts;
  for (const EvalQuestion* question : questions) prompts.emplace_back(question->prompt);
  const auto generated = model.generate_together(prompts, decoding.max_new_tokens, decoding.stop_ids, should_stop);
  std::vector<Json> answers;
  for (size_t i = 0; i < generated.size(); ++i) answers.push_back(answer_from(generated[i], tokenizer, decoding, timings[i]));
  return answers;
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
  const auto index_of = [&](const EvalQuestion* question) { return static_cast<size_t>(question - task.questions.data()); };
  const auto answer = [&](std::span<const EvalQuestion* const> questions, std::span<EvalTiming> timings) {
    std::vector<Json> answers;
    for (size_t first = 0; first < questions.size();) {
      const size_t index = index_of(questions[first]);
      Decoding decoding = task.decoding(index);
      size_t end = first + 1;
      if (decoding.sampling.temperature > 0) {
        // A question draws alike whichever were asked before, so that a resumed run ends up with the same bytes.
        decoding.sampling.seed = mix64(decoding.sampling.seed, index);
        answers.push_back(generated_answer(model, tokenizer, *questions[first], decoding, timings[first]));
      } else {
        // Neighbours that are decoded alike are written together.
        while (end < questions.size() && &task.decoding(index_of(questions[end])) == &task.decoding(index)) ++end;
        for (Json& one : generated_answers(model, tokenizer, questions.subspan(first, end - first), decoding,
                                           timings.subspan(first, end - first), callbacks.should_stop))
          answers.push_back(std::move(one));
      }
      first = end;
      if (answers.size() < end || (callbacks.should_stop && callbacks.should_stop())) break;
    }
    return answers;
  };
  return run_answers(task, AskTogether{model.at_once(), answer}, score, options, callbacks);
}

AnswerRun run_answers(const AnswerTask& task, const AskTogether& answer, const AnswerScore& score, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks) {
  const auto scored = [&](std::span<const EvalQuestion* const> questions, std::span<EvalTiming> timings) {
    std::vector<Json> lines = answer.ask(questions, timings);
    for (size_t i = 0; i < lines.size(); ++i) lines[i].update(score(*questions[i], lines[i]["output"].get<std::string>()));
    return lines;
  };
  const AskTogether ask{answer.at_once, scored};
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
