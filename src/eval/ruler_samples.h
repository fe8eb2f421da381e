#pragma once

#include "core/rng.h"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// The texts of RULER's questions; the benchmark's own come from a file. Places in braces: niah {type_needle_v},
/// {context}, {query}; needle {type_needle_v}, {key}, {value}; vt {context}, {query}, {num_v}; cwe and fwe {context}; qa
/// {context}, {query}; the answers' beginnings have those of their question but {context}.
struct RulerWording {
  std::string noise = "Rain falls on the hills. The river takes it to the sea. The wind brings it back. So it has always been.";
  std::string needle = "One of the secret {type_needle_v} for {key}: {value}.";
  std::string niah =
      "Some secret {type_needle_v} are hidden in the text below. Keep in mind what you find; I will ask you for the "
      "{type_needle_v} "
      "at the end.\n{context}\nWhat are the secret {type_needle_v} for {query} in the text above?";
  std::string niah_answer = " The secret {type_needle_v} for {query} in the text above are";
  std::string vt =
      "The text below assigns values to variables, here and there. Follow the assignments.\n\n{context}\nQuestion: Which "
      "variables "
      "have the value {query}, directly or through others?";
  std::string vt_answer = " Answer: By the assignments in the text above, {num_v} variables have the value {query}:";
  std::string cwe =
      "Below is a numbered list of words. Some of them appear more often than the others. Find those.\n{context}\nQuestion: "
      "Which 10 "
      "words appear most often in the list?";
  std::string cwe_answer = " Answer: The 10 words that appear most often in the list are:";
  std::string fwe =
      "Count how often each coded word appears in the coded text below. {context}\nQuestion: Leave out the dots and explain "
      "nothing. "
      "Which three coded words appear most often?";
  std::string fwe_answer = " Answer: The three coded words that appear most often are:";
  std::string qa =
      "Answer the question from the documents below, with the answer alone.\n\n{context}\n\nAnswer the question from the "
      "documents "
      "above, with the answer alone.\n\nQuestion: {query}";
  std::string qa_answer = " Answer:";

  /// InputError on an unknown key or an empty text.
  static RulerWording from_json(const std::string& path);
};

/// One question: a user's turn, how the answer begins, and what it should hold.
struct RulerSample {
  std::string input;
  std::string answer_prefix;
  std::vector<std::string> outputs;
};

/// Questions and documents for qa_1 and qa_2.
struct RulerDocuments {
  struct Question {
    std::string text;
    std::vector<std::string> outputs;
    std::vector<size_t> gold;  ///< its documents
  };
  std::vector<std::string> documents;
  std::vector<Question> questions;

  /// SQuAD 2 (dev): paragraphs and the questions that they answer. InputError names file and member.
  static RulerDocuments from_squad(const std::string& path);
  /// HotpotQA (dev, distractor): the paragraphs around each question.
  static RulerDocuments from_hotpot(const std::string& path);
};

/// Makes the samples of RULER (Hsieh et al. 2024), 11 tasks without any data but a long text, and two over documents. The random
/// numbers are tenfold's own, so samples differ from the published ones; a sample is a function of (task, size, length, random
/// stream).
class RulerSamples {
 public:
  /// `text`: any long text, for the haystack of most tasks and for the words of keys and lists. InputError where it has too few
  /// words.
  RulerSamples(std::string text, RulerWording wording);

  static std::vector<std::string> tasks();  ///< 13, in the published order
  static int64_t new_tokens(std::string_view task);
  void set_documents(const std::string& task, RulerDocuments documents) { documents_[task] = std::move(documents); }

  /// A sample with `size` units of filling (words, lines, needles or documents) for prompts of `length` tokens; at most
  /// `most(task)`.
  RulerSample make(const std::string& task, int64_t size, int64_t length, int64_t index, Rng rng) const;
  /// The least and the most filling that a task can have.
  static int64_t least(std::string_view task);
  int64_t most(const std::string& task, int64_t length) const;

 private:
  struct Niah;
  std::string word_key(Rng& rng) const;
  std::string essay(int64_t words, const std::vector<std::string>& needles, Rng& rng) const;
  RulerSample needles(const Niah& niah, int64_t size, Rng& rng) const;
  RulerSample variables(int64_t size, Rng& rng) const;
  RulerSample common_words(int64_t size, int64_t length, Rng& rng) const;
  RulerSample coded_words(int64_t size, int64_t length, Rng& rng) const;
  RulerSample documents(const std::string& task, int64_t size, int64_t index, Rng& rng) const;

  std::string text_;
  RulerWording wording_;
  std::vector<std::string_view> running_;     ///< the words of the text as they come
  std::vector<std::string_view> vocabulary_;  ///< lower-case words of it, sorted
  std::map<std::string, RulerDocuments> documents_;
};

}  // namespace tenfold
