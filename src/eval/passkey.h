#pragma once

#include "eval/grid_task.h"
#include "text/chat_template.h"

#include <string>

namespace tenfold {

/// The sentences of a pass key test; {key} in the information becomes the number. The defaults are our own.
struct PasskeyWording {
  std::string description =
      "Somewhere in the lines below a number is hidden. Find it and keep it in mind: you will be asked for it at the end.\n";
  std::string noise =
      "Rain falls on the hills. The river runs to the sea. Gulls circle over the pier. Boats go out and boats come home.";
  std::string information = "\n\nThe code of the safe is {key}. Do not forget it. {key} is the code of the safe.\n\n";
  std::string question = "\n\nWhat is the code of the safe?";

  /// From a JSON object with any of these four keys; InputError on other keys, other types and empty texts.
  static PasskeyWording from_json(const std::string& path);
};

struct PasskeyOptions : GridOptions {
  PasskeyWording wording;
  uint64_t seed = 123;
  int64_t digits = 5;  ///< of a key, 1 to 18
};

/// Builds the prompts of a pass key grid (evaluations.md 4): keys from numpy's default_rng, one draw a cell, lengths outer.
GridTask make_passkey_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const PasskeyOptions& options);

/// Asks and scores: hit = the key is in the output; accuracy = the first number of the output is the key; fuzz compares the two.
GridResult run_passkey(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& options,
                       const EvalCallbacks& callbacks = {});

}  // namespace tenfold
