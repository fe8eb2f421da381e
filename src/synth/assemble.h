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

/// Where everything of a plan comes to lie in a text of a certain length.
struct Layout {
  static constexpr size_t kEnd = static_cast<size_t>(-1);
  std::vector<size_t> places;      ///< of the insertions, byte offsets into the text; kEnd: after it
  std::vector<SynthAsk> asks;      ///< complete; passages that were not found are missing
  std::vector<std::string> shown;  ///< the questions as they are put
  size_t least = 0;                ///< bytes of text that places and passages need
};

/// The place of each insertion in `text`.
std::vector<size_t> places_of(std::string_view text, const std::vector<Insertion>& insertions);

/// `text` with the insertions written in at their places.
std::string insert_all(std::string_view text, const std::vector<Insertion>& insertions, const std::vector<size_t>& places);

/// The longest beginning of `text` of at most `bytes` bytes that ends between two words.
std::string_view cut_text(std::string_view text, int64_t bytes);

/// Settles places and passages for about `bytes` bytes of text.
Layout lay_out(const RecordPlan& plan, int64_t bytes);

/// The record of a layout with about `bytes` bytes of text, at least `layout.least`. More bytes never make it shorter.
SynthRecord assemble(const RecordPlan& plan, const Layout& layout, int64_t bytes);

}  // namespace tenfold
