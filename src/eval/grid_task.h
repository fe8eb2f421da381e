#pragma once

#include "eval/language_model.h"
#include "eval/metrics/numbers.h"
#include "eval/run.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// What every task over a grid of lengths and depths is told.
struct GridOptions {
  std::vector<int64_t> lengths;  ///< tokens of the prompt without the template
  std::vector<int64_t> depths;   ///< per cent
  int64_t max_new_tokens = 50;
  std::vector<int32_t> stop_ids;
  bool strict_reference = false;
  bool clean_up = false;  ///< clean_up_tokenization_spaces of the model's tokenizer_config.json
};

/// One question of a grid, made: the tokens before the needle order the cells, so that each prompt shares the longest beginning
/// with the one before it.
struct GridQuestion {
  int64_t length = 0;
  int64_t depth = 0;
  int64_t before = 0;  ///< context tokens before the needle
  std::string target;  ///< what rouge compares with, or the key
  std::string answer;  ///< what counts as a hit when the output holds it
  std::vector<int32_t> prompt;
};

/// A task ready to run: what config.json says and the questions.
struct GridTask {
  std::string name;
  GridOptions options;
  Json config;
  Json notes = Json::object();  ///< added to the run's notes
  std::vector<EvalQuestion> questions;

  /// Tokens that the longest prompt and its answer take: the capacity a session needs.
  int64_t tokens_needed() const;
};

/// One answered cell. Scores that a task does not have stay 0.
struct GridCell {
  int64_t length = 0;
  int64_t depth = 0;
  int64_t prompt_tokens = 0;
  std::string target;
  std::string output;  ///< as generated, special tokens skipped, not stripped
  bool hit = false;    ///< the answer is in the output
  bool exact = false;  ///< needle: the whole sentence is in the output; pass key: the first number is the key
  double score = 0;    ///< needle: rouge-l, rounded to 2 digits; pass key: fuzz
  std::optional<double> grade = std::nullopt;  ///< a judge's, 1 to 10 (eval/judge.h)
};

struct LengthSummary {
  int64_t length = 0;
  int64_t cells = 0;
  int64_t hits = 0;
  double score = 0;  ///< mean
};

struct GridResult {
  GridOptions options;
  std::vector<std::vector<GridCell>> cells;  ///< [length][depth] as in the options; an unanswered one has prompt_tokens 0
  std::vector<LengthSummary> by_length;
  int64_t hits = 0;
  int64_t total = 0;  ///< answered cells
  Interval interval;  ///< Wilson's, of hits / total
  EvalRun run;
  Json metrics;  ///< what metrics.json holds
};

/// Sorts the cells by what they share and turns them into questions.
void add_questions(GridTask& task, std::vector<GridQuestion> cells);

/// InputError when lengths or depths are missing, repeated or out of range.
void check_grid(const GridOptions& options, std::string_view task);
/// The fields of config.json that every grid task has.
Json grid_config(const GridOptions& options, std::string_view task, const std::string& template_name);

/// How one task scores an output: sets hit, exact and score of a cell.
using ScoreFunction = std::function<void(const EvalQuestion& question, GridCell& cell)>;

/// Asks what is not answered yet, scores every answer from its text, and writes metrics.json when the grid is whole. `score_name`
/// is the key of the mean score ("rouge", "fuzz"), `exact_name` that of the exact column.
GridResult run_grid(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const ScoreFunction& score,
                    std::string_view score_name, std::string_view exact_name, const EvalRunOptions& options,
                    const EvalCallbacks& callbacks);

}  // namespace tenfold
