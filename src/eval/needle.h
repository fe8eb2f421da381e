#pragma once

#include "eval/grid_task.h"
#include "text/chat_template.h"

#include <string>

namespace tenfold {

/// The sentences of a needle test. The defaults are our own; the published ones are set by options or a JSON file.
struct NeedleWording {
  std::string description =
      "Somewhere in the pages below stands one fact that has nothing to do with the rest. Read them with care and keep it in "
      "mind: "
      "a question about it follows.\n";
  std::string needle =
      "\n\nThe lighthouse keeper of Port Merrin hides the spare key inside a blue teapot on the third shelf.\n\n";
  std::string question = "\n\nWhere does the lighthouse keeper of Port Merrin hide the spare key?\nAnswer:";
  std::string answer = "blue teapot";  ///< what an output must hold to be a hit; empty: the needle, stripped

  /// From a JSON object with any of these four keys; InputError on other keys, other types and empty texts.
  static NeedleWording from_json(const std::string& path);
};

struct NeedleOptions : GridOptions {
  std::string haystack;  ///< file or folder
  NeedleWording wording;
};

/// Builds the prompts of a needle grid (evaluations.md 3). InputError: haystack, wording or a length that is too small for the
/// parts.
GridTask make_needle_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const NeedleOptions& options);

/// Whether an output is a hit: it holds the answer, in whatever case; `strict_reference` minds the case.
bool holds_answer(const std::string& output, const std::string& answer, bool strict_reference = false);

/// Asks, scores (rouge-l against the needle with its newlines; hit and exact recall) and keeps everything in options.directory.
GridResult run_needle(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks = {});

}  // namespace tenfold
