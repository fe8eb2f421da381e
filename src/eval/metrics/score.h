#pragma once

#include "core/error.h"
#include "eval/metrics/segmenter.h"
#include "format/json.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// One prediction to score.
struct MetricCase {
  std::string metric;  ///< such as longbench.qa_f1_score
  std::string prediction;
  std::vector<Json> references;  ///< texts or numbers, as the metric has them
  std::vector<std::string> all_classes;
};

/// A metric whose tables are not installed. The others can be asked all the same.
class MetricUnavailable : public InputError {
 public:
  using InputError::InputError;
};

/// Every metric by its name (evaluations.md 2, 4, 5, 8 to 12). Where the Python original raises, the score is 0.
class Scorer {
 public:
  struct Options {
    bool strict_reference = false;  ///< with the published evaluation's faults (evaluations.md 15)
    std::string jieba_directory{kJiebaDirectory};
  };
  Scorer() : Scorer(Options()) {}
  explicit Scorer(Options options) : options_(std::move(options)) {}

  static std::vector<std::string_view> names();

  /// A case from a JSON object {metric, prediction, references, all_classes}; `metric` where it names none. A prediction may be
  /// called pred, references may be called ground_truth or label, as InfiniteBench's files have them. InputError naming `source`
  /// and the member that is missing or of the wrong type.
  static MetricCase read(const Json& object, std::string_view metric, std::string_view source);

  /// A number (0 to 1; ruler: per cent; fuzz: 0 to 100), an object of numbers, a text, or null (no answer letter).
  /// MetricUnavailable for a Chinese metric without jieba's tables. `all_classes` and references are as `read` leaves them.
  Json score(const MetricCase& item);

 private:
  friend struct ScoreFunctions;
  const Segmenter& segmenter(std::string_view metric);

  Options options_;
  std::unique_ptr<Segmenter> segmenter_;
};

}  // namespace tenfold
