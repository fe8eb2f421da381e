#pragma once

#include "cli/verb.h"
#include "eval/grid_task.h"

#include <string>
#include <vector>

namespace tenfold::cli {

/// The options that say who grades the answers of a needle, if anybody.
struct JudgeOptions {
  std::string url;
  std::string model;
  std::string key_file;
  double timeout = 60;  ///< seconds
  std::string wording;
  std::string prompts;  ///< file to write
  std::string scores;   ///< file to read
};
void declare_judge(OptionTable& table, JudgeOptions& options);
void check_judge(const OptionTable& table, const JudgeOptions& options, std::vector<std::string>& errors);

/// InputError for what is wrong with them and shows only when files are opened; before an evaluation that may take hours.
void prove_judge(const JudgeOptions& options);

/// Has a whole grid judged as the options say, adds the grades to the result and its metrics, draws gpt.{pdf,png,svg} in the
/// run's directory and says what came of it. Does nothing where no option asks for it. A judge that fails is reported, not
/// thrown.
void judge_grid(Context& context, const JudgeOptions& options, const GridTask& task, GridResult& result,
                const EvalRunOptions& run);

}  // namespace tenfold::cli
