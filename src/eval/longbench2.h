#pragma once

#include "eval/answer_task.h"
#include "text/chat_template.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// LongBench v2 (Bai et al. 2024; evaluations.md 12): 503 questions of four choices over texts of 8K to 2M words.
struct LongBench2Options {
  std::string data;     ///< JSON lines or one array of {_id, domain, difficulty, length, question, choice_A..D, answer, context}
  std::string prompts;  ///< template with $DOC$, $Q$, $C_A$ .. $C_D$ (the benchmark's prompts/0shot.txt); "": our wording
  int64_t first = 0;    ///< records from the start; 0: all
  int64_t max_length = 120000;  ///< tokens of a prompt without its chat template
  bool likelihood = false;      ///< the likeliest letter is the answer; nothing is generated
  Decoding decoding = {.max_new_tokens = 128};
};

struct LongBench2Task : AnswerTask {
  std::vector<std::string> domains;             ///< in the order of their first question
  std::vector<std::array<int32_t, 4>> letters;  ///< by likelihood: of each question, the tokens of A to D; else none
};

/// Questions of one kind.
struct LongBench2Group {
  std::string name;  ///< overall, easy, hard, short, medium, long, or a domain
  int64_t questions = 0;
  int64_t hits = 0;
  int64_t unanswered = 0;  ///< outputs in which no letter is named: they are misses

  double per_cent() const;  ///< rounded to 1 digit, as published
};

struct LongBench2Result {
  std::vector<LongBench2Group> groups;  ///< overall, difficulties, lengths; those without questions are left out
  std::vector<LongBench2Group> domains;
  std::vector<Answered> answers;
  EvalRun run;
  Json metrics;  ///< what metrics.json holds
};

/// Reads, cuts (from the middle) and encodes the questions. InputError: a malformed record (where), an id that is there twice, a
/// template without $DOC$ or $Q$.
LongBench2Task make_longbench2_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LongBench2Options& options);

/// Asks, scores, and writes metrics.json when every question is answered.
LongBench2Result run_longbench2(LanguageModel& model, const Tokenizer& tokenizer, const LongBench2Task& task,
                                const EvalRunOptions& options, const EvalCallbacks& callbacks = {});

/// Scores the benchmark's own result files, JSON lines {_id, domain, difficulty, length, answer, response}, without a model.
LongBench2Result rescore_longbench2(const std::string& saved);

}  // namespace tenfold
