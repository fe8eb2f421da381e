#pragma once

#include "eval/metrics/numbers.h"
#include "format/json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

/// How one run's answers to the same questions differ from another's: a whole evaluation, or one task of a benchmark.
struct Comparison {
  std::string name;        ///< folder below eval/, or FOLDER/TASK
  std::string measure;     ///< hit, score or nll (mean loss of a window; less is better)
  int64_t questions = 0;   ///< that both answered
  int64_t only_first = 0;  ///< answered by one alone
  int64_t only_second = 0;
  int64_t other_prompts = 0;  ///< of the shared ones, asked with different tokens
  double first = 0;           ///< means over the shared ones
  double second = 0;
  int64_t better = 0;  ///< the second did better
  int64_t worse = 0;
  double p_value = 1;         ///< see sign_test
  MeanInterval difference;    ///< second - first of a loss, over windows; other measures leave it 0 and without interval
  std::vector<Json> changed;  ///< {id, first, second, first_output, second_output}, in the order of the first run
};

struct RunComparison {
  std::vector<Comparison> tasks;     ///< after the whole of it a benchmark's tasks, or a loss by position and by pairs of windows
  std::vector<std::string> remarks;  ///< evaluations that one run lacks or that cannot be compared, settings that differ
  Json json;                         ///< what compare.json holds
};

/// Two-sided p-value of so many changes for the better and the worse if both were equally likely (exact binomial). Over hits this
/// is McNemar's exact test, over scores the sign test; equal answers do not count. 1 without changes.
double sign_test(int64_t better, int64_t worse);

/// Losses are also compared bucket by bucket (NAME/0-1K ...) and, where windows are paired (PairedPositions), on the shared
/// target tokens: NAME/far, NAME/near, and NAME/near-far, the first run's short windows against the second's long ones. Compares
/// the answers.jsonl of every evaluation that both runs have, question by question. A run is a run directory, or one evaluation's
/// own directory. InputError: no answers there, nothing in common, a malformed line (file and line).
RunComparison compare_runs(const std::string& first, const std::string& second);

}  // namespace tenfold
