#pragma once

#include "format/json.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {

/// One line of metrics.jsonl. What a line lacks is NaN.
struct TrainPoint {
  double step = 0;
  double loss = 0;
  double answer_loss = 0;
  double lm_loss = 0;
  double distill_loss = 0;  ///< KL to the untouched base
  double learning_rate = 0;
  double grad_norm = 0;
  double tokens = 0;
  double seconds = 0;
  double peak_bytes = 0;
};

/// One check of held needles on the way (train --held-needles).
struct HeldPoint {
  int64_t step = 0;
  int64_t hits = 0;
  int64_t total = 0;
  bool best = false;
  std::vector<std::pair<int64_t, double>> by_length;  ///< length, share found
};

/// The loss on held text at one check on the way (train --held-text).
struct HeldLoss {
  int64_t step = 0;
  double nll = 0;
  std::vector<std::pair<std::string, double>> by_position;  ///< "1K-2K", mean loss
};

/// One answered question of a needle or pass key grid.
struct GridAnswer {
  int64_t length = 0;
  int64_t depth = 0;
  int64_t prompt_tokens = 0;
  bool hit = false;
  bool exact = false;  ///< needle: exact; pass key: accuracy
  double score = 0;    ///< needle: rouge; pass key: fuzz
  std::string target;
  std::string output;
};

struct BucketLoss {
  std::string positions;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;
  double nll = 0;
};

/// The same target tokens seen with much and with little before them (eval ppl --paired).
struct PairedLosses {
  std::string positions;
  int64_t windows = 0;
  double far_nll = 0;
  double near_nll = 0;
  double difference = 0;
  double low = 1;  ///< of the 95 % interval; low > high: there is none
  double high = 0;
};

/// Answers that belong together: a task, questions of so many topics, prompts of like length.
struct ScoreGroup {
  std::string name;
  int64_t questions = 0;
  double sum = 0;      ///< hits, or scores
  bool judged = true;  ///< each answer is a hit or a miss
};

struct PlannedBytes {
  std::string name;
  std::string use;
  double bytes = 0;
};

/// What one evaluation left in eval/TASK.
struct EvalData {
  std::string name;  ///< of the directory
  std::string path;
  std::string kind;  ///< "needle", "passkey", "ppl" ...
  Json config = Json::object();
  Json metrics = Json::object();  ///< empty when the evaluation has not ended
  std::vector<int64_t> lengths;   ///< of a grid
  std::vector<int64_t> depths;
  std::vector<GridAnswer> answers;
  std::vector<BucketLoss> by_position;
  std::optional<PairedLosses> paired;
  std::vector<ScoreGroup> by_task;           ///< of what is neither a grid nor a loss; one group where it has no parts
  std::vector<ScoreGroup> by_prompt_tokens;  ///< in powers of two

  bool is_grid() const { return kind == "needle" || kind == "passkey"; }
  bool is_done() const { return !metrics.empty(); }
  const GridAnswer* find(int64_t length, int64_t depth) const;
  int64_t hits() const;
  int64_t hits(int64_t length) const;
  int64_t cells(int64_t length) const;
};

/// A run directory as the report reads it. Every part may be missing.
struct RunData {
  std::string label;
  std::string path;
  std::string config_text;                                    ///< config.toml as it is
  std::vector<std::pair<std::string, std::string>> headings;  ///< its "# key: value" lines
  std::vector<TrainPoint> train;
  std::vector<HeldPoint> held;
  std::vector<HeldLoss> held_loss;
  std::vector<PlannedBytes> planned;  ///< memory.json
  std::vector<EvalData> evals;        ///< by name

  const EvalData* find(const std::string& name) const;
  /// The heading's first value, or "".
  std::string heading(const std::string& key) const;
  /// What follows `prefix` in a "fact" heading, or "".
  std::string fact(const std::string& prefix) const;
};

/// Reads eval/TASK (config.json, answers.jsonl, metrics.json). InputError names file and field of what is malformed.
EvalData read_eval(const std::string& directory);

/// Reads a run directory; "LABEL=PATH" gives it a name, else its last component. InputError: no such directory, nothing of a run
/// in it, malformed files.
RunData read_run(const std::string& labelled_path);

}  // namespace tenfold
