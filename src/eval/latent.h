#pragma once

#include "eval/answer_task.h"
#include "text/chat_template.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tenfold {

/// A sentence about somebody and a question that shares no word with it: "{name} keeps a boat beside the Rialto." and "Who knows
/// Venice well?". What links them is what the reader knows.
struct LatentPair {
  std::string needle;  ///< holds {name}
  std::string question;
};

struct LatentWording {
  std::string description =
      "Among the pages below stands one sentence about a person who has nothing to do with the rest. Read with care: a question "
      "about that person follows.\n";
  std::string ask = "\n\n{question} Answer with the name alone.\nAnswer:";  ///< holds {question}
  std::vector<LatentPair> pairs;                                            ///< from_json, or our own 20
  std::vector<std::string> names;  ///< who may be asked for; those in the haystack are not taken

  LatentWording();
  /// From a JSON object with any of description, ask, pairs [{needle, question}] and names [text]. InputError: other keys, empty
  /// texts, a place that is missing.
  static LatentWording from_json(const std::string& path);
};

/// Latent needles, after the idea of NoLiMa (Modarressi et al. 2025), with sentences of our own: what a literal needle measures
/// is mostly matching of words, which these do not offer.
struct LatentOptions {
  std::string haystack;          ///< file or folder
  std::vector<int64_t> lengths;  ///< tokens of a prompt without its template
  std::vector<int64_t> depths;   ///< per cent
  int64_t pairs = 0;             ///< the first so many; 0: all
  uint64_t seed = 42;            ///< of the names
  LatentWording wording;
  Decoding decoding = {.max_new_tokens = 16};
};

struct LatentTask : AnswerTask {
  std::vector<int64_t> lengths;  ///< rising
  std::vector<int64_t> depths;
};

/// Answers of one length, depth or pair.
struct LatentRow {
  int64_t at = 0;  ///< tokens, per cent, or the pair's number from 0
  int64_t questions = 0;
  int64_t hits = 0;

  double accuracy() const { return questions > 0 ? static_cast<double>(hits) / static_cast<double>(questions) : 0.0; }
};

/// A length works where it keeps this share of the base accuracy.
inline constexpr double kLatentShare = 0.85;

struct LatentResult {
  std::vector<LatentRow> lengths;           ///< rising
  double base = 0;                          ///< best accuracy of the lengths up to 1024 tokens; of the shortest where none is
  std::optional<int64_t> effective_length;  ///< the longest that keeps kLatentShare of it; none where the base is 0
  std::vector<Answered> answers;
  EvalRun run;
  Json metrics;  ///< what metrics.json holds
};

/// One question for each length, depth and pair, in the order of what they share. InputError: haystack, wording, a length too
/// small, every name in the haystack.
LatentTask make_latent_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LatentOptions& options);

/// Asks, scores (a hit holds the name), and writes metrics.json when every question is answered.
LatentResult run_latent(LanguageModel& model, const Tokenizer& tokenizer, const LatentTask& task, const EvalRunOptions& options,
                        const EvalCallbacks& callbacks = {});

}  // namespace tenfold
