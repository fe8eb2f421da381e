#pragma once

#include "eval/language_model.h"
#include "eval/run.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {

/// How an answer is generated: greedily, unless told otherwise.
struct Decoding {
  int64_t max_new_tokens = 0;
  std::vector<int32_t> stop_ids = {};
  bool clean_up = false;          ///< clean_up_tokenization_spaces of the model's tokenizer_config.json
  SamplingOptions sampling = {};  ///< its seed is that of the task; every question draws from its own
};

/// Generates the answer to a question and fills its timing. Fields: output (special tokens skipped, not stripped), stopped.
Json generated_answer(LanguageModel& model, const Tokenizer& tokenizer, const EvalQuestion& question, const Decoding& decoding,
                      EvalTiming& timing);
/// The same for several questions, written together; the decoding is greedy. Where `should_stop` says so between two of them, the
/// answers are those of the first.
std::vector<Json> generated_answers(LanguageModel& model, const Tokenizer& tokenizer,
                                    std::span<const EvalQuestion* const> questions, const Decoding& decoding,
                                    std::span<EvalTiming> timings, const std::function<bool()>& should_stop = {});

/// A task of questions whose answers are generated and scored one by one.
struct AnswerTask {
  std::string name;
  Json config;
  Json notes = Json::object();  ///< added to the run's notes
  std::vector<EvalQuestion> questions;
  std::vector<Decoding> decodings;  ///< the different ones
  std::vector<size_t> decoding_of;  ///< of each question; empty: all take the first

  const Decoding& decoding(size_t question) const { return decodings[decoding_of.empty() ? 0 : decoding_of[question]]; }
  /// Tokens that the longest prompt and its answer take: the capacity a session needs.
  int64_t tokens_needed() const;
};

struct Answered {
  const EvalQuestion* question = nullptr;  ///< of the task
  std::string output;
  Json score;  ///< an object
};

struct AnswerRun {
  std::vector<Answered> answers;  ///< in the order of the questions; fewer where interrupted
  EvalRun run;
};

/// The score of an output: an object, of which `hit` (where it has one) is shown while the task runs.
using AnswerScore = std::function<Json(const EvalQuestion& question, const std::string& output)>;

/// Asks what is not answered yet and scores every answer from its text, those of an earlier run too.
AnswerRun run_answers(LanguageModel& model, const Tokenizer& tokenizer, const AnswerTask& task, const AnswerScore& score,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks);

/// The same with answers that are got otherwise: `answer` gives the fields of each line, `output` among them.
AnswerRun run_answers(const AnswerTask& task, const AskTogether& answer, const AnswerScore& score, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks);

/// How an evaluation by answers ends: a Result (answers, run, metrics) from what was asked. `summarise(result)` makes its metrics
/// from the answers; the run's own fields follow, and metrics.json when nothing interrupted it.
template <typename Result, typename Summarise>
Result finish_answers(AnswerRun asked, const EvalRunOptions& options, const Summarise& summarise) {
  Result result;
  result.answers = std::move(asked.answers);
  result.run = std::move(asked.run);
  summarise(result);
  add_run_fields(result.metrics, result.run);
  if (!result.run.interrupted) write_metrics(options, result.metrics);
  return result;
}

/// InputError when a prompt and its answer do not fit the model's session.
void check_capacity(std::string_view task, int64_t needed, const LanguageModel& model, std::string_view remedy);

/// A member of a row that is a list of strings; InputError naming `where` and the member.
std::vector<std::string> row_texts(const Json& row, std::string_view key, std::string_view where);

}  // namespace tenfold
