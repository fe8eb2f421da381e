#pragma once

#include "eval/grid_task.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// With what a judge is asked to grade an answer from 1 to 10 (evaluations.md 3). Places: {question}, {reference}, {answer}.
struct JudgeWording {
  std::string prompt =
      "Grade an answer by how well it agrees with the reference.\n\n"
      "[Question]\n{question}\n\n[Reference]\n{reference}\n\n[Answer]\n{answer}\n\n"
      "1: it has nothing to do with the reference. 3: it touches the reference but does not agree with it. 5: it agrees in part "
      "and "
      "has something wrong. 7: it agrees and leaves out little. 10: it is right and complete.\n"
      "Give your reason in a sentence, then the grade in double square brackets, such as [[5]].";

  /// From a JSON object {prompt}; InputError on other keys and a text that lacks a place.
  static JudgeWording from_json(const std::string& path);
};

/// What a judge is asked about one answer. `hash` is over the judge's name and the text: a grade counts for what was asked only.
struct JudgePrompt {
  std::string id;
  std::string hash;
  std::string text;
};

/// Prompts for every answered cell of a needle's grid. `judge` names who is asked ("" where nobody knows yet).
std::vector<JudgePrompt> judge_prompts(const GridTask& task, const GridResult& result, const JudgeWording& wording,
                                       std::string_view judge);

/// The grade in a judge's reply: the number in its last pair of double brackets, or the reply that is nothing but a number, from
/// 1 to 10; nothing for any other reply.
std::optional<double> grade_of(std::string_view reply);

/// A reply, or why there is none.
struct JudgeReply {
  std::string text;
  std::string error;         ///< "" where there is a reply
  bool unreachable = false;  ///< nobody answered at all
};

class Judge {
 public:
  Judge() = default;
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;
  virtual ~Judge() = default;
  virtual std::string name() const = 0;
  virtual JudgeReply ask(const std::string& prompt) = 0;
};

/// What came of asking. Every prompt is in exactly one of the counts.
struct Judgement {
  std::map<std::string, double> grades;  ///< by id, 1 to 10
  int64_t asked = 0;                     ///< prompts
  int64_t failed = 0;                    ///< the judge gave no reply
  int64_t nonsense = 0;                  ///< it gave one without a grade
  int64_t missing = 0;                   ///< not asked (nobody answers, or stopped), or not in the file of scores
  std::vector<std::string> faults;       ///< "8192-50: HTTP 500 ...", the first few
  bool interrupted = false;
};

/// Judges in a row that cannot be reached at all before the rest is given up and counted as missing.
inline constexpr int64_t kJudgePatience = 3;

/// Asks about each prompt that has no grade in `directory`/judge.jsonl yet and keeps the replies there, one line each, failures
/// too, which the next run asks again. Writes nothing where the directory is "". InputError: a malformed line there.
Judgement ask_judge(Judge& judge, const std::vector<JudgePrompt>& prompts, const std::string& directory,
                    const EvalCallbacks& callbacks);

/// JSON lines {id, hash, prompt} for a judge that is asked elsewhere.
void write_judge_prompts(const std::string& path, const std::vector<JudgePrompt>& prompts);

/// Reads what it said: JSON lines {id, score} or {id, reply}, with the prompt's hash or without. A score that is no grade counts
/// as nonsense, a prompt without a line as missing. InputError (file and line): an unknown or repeated id, the hash of another
/// prompt.
Judgement read_judge_scores(const std::string& path, const std::vector<JudgePrompt>& prompts);

/// Puts the grades into the cells and the metrics (`gpt`, the published name, {length: {depth: grade}}; `gpt_mean` over graded
/// cells; `judge`, the counts), and writes metrics.json anew.
void add_judgement(GridResult& result, const Judgement& judgement, std::string_view judge, const EvalRunOptions& options);

}  // namespace tenfold
