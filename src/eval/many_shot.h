#pragma once

#include "eval/answer_task.h"
#include "text/chat_template.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

/// A text and its class.
struct LabelledText {
  std::string text;
  std::string label;
};

/// Messages of a made-up household service in `kManyShotClasses` classes, their labels numbers that say nothing, so that only the
/// examples tell what a label means. Number i is a function of the seed; every run of kManyShotClasses has each class once.
class ManyShotTexts {
 public:
  explicit ManyShotTexts(uint64_t seed);
  /// `count` examples, none of them twice. InputError when there are not as many.
  std::vector<LabelledText> examples(int64_t count) const;
  /// `count` questions: none is an example.
  std::vector<LabelledText> queries(int64_t count) const;
  /// How many examples there are.
  static int64_t most();

 private:
  LabelledText text(int64_t stream, int64_t number) const;

  uint64_t seed_;
  std::vector<std::string> labels_;  ///< of each class
};
inline constexpr int64_t kManyShotClasses = 20;

/// Long many-shot classification: as many labelled examples as a length holds, then one text without its label.
struct ManyShotOptions {
  std::vector<int64_t> lengths = {4096, 8192, 16384, 32768};  ///< tokens of prompt and answer together
  int64_t queries = 40;                                       ///< of each length, the same ones
  uint64_t seed = 42;
  std::string examples;  ///< JSON lines {text, label} instead of our own; repeated texts count
  std::string data;      ///< the same, what is asked; needed with `examples`
  std::string description =
      "Every message below is followed by its label. Find out what the labels mean, then give the label of the last message, and "
      "nothing else.\n\n";
  Decoding decoding = {.max_new_tokens = 12};
};

struct ManyShotTask : AnswerTask {
  std::vector<int64_t> lengths;  ///< rising
  std::vector<int64_t> shots;    ///< of each length, the examples in its prompts
  int64_t classes = 0;
};

struct ManyShotLength {
  int64_t length = 0;
  int64_t shots = 0;
  int64_t questions = 0;
  int64_t hits = 0;

  double accuracy() const { return questions > 0 ? static_cast<double>(hits) / static_cast<double>(questions) : 0.0; }
};

struct ManyShotResult {
  std::vector<ManyShotLength> lengths;  ///< rising
  std::vector<Answered> answers;
  EvalRun run;
  Json metrics;  ///< what metrics.json holds
};

/// Questions by rising length; those of a length share their examples, and those of a longer one begin with them, so that the
/// cache reads each example once. InputError: a length without room for an example of each class, too few examples to fill one, a
/// malformed file (file and line), a question whose label no example has.
ManyShotTask make_many_shot_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const ManyShotOptions& options);

/// Asks, scores (the first line of the answer, normalised, is the label), and writes metrics.json when all is answered.
ManyShotResult run_many_shot(LanguageModel& model, const Tokenizer& tokenizer, const ManyShotTask& task,
                             const EvalRunOptions& options, const EvalCallbacks& callbacks = {});

}  // namespace tenfold
