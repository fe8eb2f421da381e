#pragma once

#include "synth/synthesize.h"

#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// How a sentence is written into the text.
enum class Placement : uint8_t {
  kParagraphAnywhere,  ///< a paragraph of its own between any two words, which cuts the sentence there
  kParagraphBreak,     ///< a paragraph of its own between two paragraphs
  kInline,             ///< between two sentences of a paragraph
  kInlineAnywhere,     ///< between any two words
};

/// A sentence with its place; `depth` is a fraction of the text.
struct Insertion {
  std::string text;
  double depth = 0.0;
  Placement placement = Placement::kParagraphAnywhere;
};

/// A question in the making: `ask` is complete, except for kPassage, whose question needs the final text.
struct PlannedAsk {
  SynthAsk ask;
  uint64_t passage_seed = 0;
  std::string cue;     ///< after the question, such as "\nAnswer:"
  std::string prefix;  ///< before it, with {q}; may be empty
};

/// All random decisions of a record; only the length of the text is still open.
struct RecordPlan {
  int64_t target = 0;
  std::string_view text;  ///< of a document, from where the record's text begins, as far as it goes
  std::string joined;     ///< instead of `text`, when several documents had to be joined
  std::string heading;    ///< with {q} for the first question, or empty
  std::string open;       ///< between heading and text
  std::string ask;        ///< between text and first question
  std::vector<Insertion> insertions;
  std::vector<PlannedAsk> asks;
};

/// Writes the insertions into `text`. `cuts` receives the byte offsets in `text` where something went in, ascending.
std::string insert_all(std::string_view text, const std::vector<Insertion>& insertions, std::vector<size_t>& cuts);

/// The longest beginning of `text` of at most `bytes` bytes that ends between two words.
std::string_view cut_text(std::string_view text, int64_t bytes);

/// The record of a plan with about `bytes` bytes of text. Passages that cannot be found are left out.
SynthRecord assemble(const RecordPlan& plan, int64_t bytes);

}  // namespace tenfold
