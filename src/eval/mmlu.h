#pragma once

#include "eval/language_model.h"
#include "eval/metrics/numbers.h"
#include "eval/run.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// MMLU (Hendrycks et al. 2021) as the published evaluation asks it (evaluations.md 6): four choices, the letter with the least
/// negative log-likelihood is the answer. One prefill a question; questions of a subject share their shots in the cache.
struct MmluOptions {
  std::string data;        ///< JSON lines {query_id, subject, query, choices, answer}
  std::string train_data;  ///< the same, for the shots; needed where few_shot > 0
  int64_t few_shot = 0;    ///< the first so many of the subject's training rows
  std::vector<int32_t> stop_ids;
  bool clean_up = false;
  bool strict_reference = false;
};

struct MmluTask {
  Json config;
  Json notes = Json::object();
  std::vector<EvalQuestion> questions;          ///< prompts end where the letter follows
  std::vector<Json> rows;                       ///< of the data file, in its order, as they are
  std::vector<std::array<int32_t, 4>> letters;  ///< of each question, the tokens of A to D
  /// Strict, where the checkpoint does not stop at the template's end of turn: that token counts, too. Else -1.
  int32_t end_of_turn = -1;

  int64_t tokens_needed() const;
};

struct MmluSubject {
  int64_t questions = 0;
  int64_t correct = 0;
  double accuracy() const { return questions > 0 ? static_cast<double>(correct) / static_cast<double>(questions) : 0.0; }
};

struct MmluResult {
  std::map<std::string, MmluSubject> subjects;
  Json categories;  ///< STEM, Social Sciences, Humanities, Others, All: means over subjects; null (strict: []) without any
  int64_t correct = 0;
  int64_t total = 0;
  Interval interval;  ///< Wilson's, of correct / total
  EvalRun run;
  Json metrics;                   ///< what metrics.json holds
  std::string published_results;  ///< the rows with `output`, JSON lines
};

/// "STEM", "Social Sciences", "Humanities" or "Others" of a subject; "" for an unknown one.
std::string_view mmlu_category(std::string_view subject);

/// Reads and encodes the questions. InputError: a malformed row, an unknown subject, a query_id that is not the row's number
/// (file and line), letters that are no single tokens.
MmluTask make_mmlu_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const MmluOptions& options);

MmluResult run_mmlu(LanguageModel& model, const MmluTask& task, const EvalRunOptions& options,
                    const EvalCallbacks& callbacks = {});

}  // namespace tenfold
