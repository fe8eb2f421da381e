#include "eval/passkey.h"

#include "core/error.h"
#include "eval/grid.h"
#include "eval/haystack.h"
#include "eval/metrics/fuzz.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "eval/wording.h"

#include <utility>

namespace tenfold {
namespace {

using Ids = std::vector<int32_t>;

std::string with_key(std::string text, const std::string& key) {
  constexpr std::string_view kHole = "{key}";
  for (size_t at = text.find(kHole); at != std::string::npos; at = text.find(kHole, at + key.size()))
    text.replace(at, kHole.size(), key);
  return text;
}

int64_t power_of_ten(int64_t n) {
  int64_t value = 1;
  for (int64_t i = 0; i < n; ++i) value *= 10;
  return value;
}

/// The published rule repeats the noise L // 10 times without a separator.
Ids noise_tokens(const Tokenizer& tokenizer, const std::string& noise, int64_t length) {
  std::string text;
  for (int64_t i = 0; i < length / 10; ++i) text += noise;
  Ids ids = tokenizer.encode(text);
  if (static_cast<int64_t>(ids.size()) < length) {
    throw_input("eval passkey: the noise is too short: {} repetitions give {} of {} tokens; its text needs ten tokens or more",
                length / 10, ids.size(), length);
  }
  return ids;
}

void check_options(const PasskeyOptions& options) {
  check_grid(options, "passkey");
  if (options.digits < 1 || options.digits > 18) {
    throw_input("eval passkey: --digits: expected 1 to 18, got {}", options.digits);
  }
  if (options.wording.information.find("{key}") == std::string::npos) {
    throw_input("eval passkey: the information has no {{key}} in it, where the number belongs: \"{}\"",
                options.wording.information);
  }
}

}  // namespace

PasskeyWording PasskeyWording::from_json(const std::string& path) {
  PasskeyWording wording;
  read_wording(path, {{"description", &wording.description},
                      {"noise", &wording.noise},
                      {"information", &wording.information},
                      {"question", &wording.question}});
  return wording;
}

GridTask make_passkey_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const PasskeyOptions& options) {
  check_options(options);
  const PasskeyWording& wording = options.wording;
  GridTask task;
  task.name = "passkey";
  task.options = options;
  task.config = grid_config(options, "passkey", chat.name());
  task.config["seed"] = options.seed;
  task.config["digits"] = options.digits;
  task.config["wording"] = {{"description", wording.description},
                            {"noise", wording.noise},
                            {"information", wording.information},
                            {"question", wording.question}};
  NumpyRng rng(options.seed);
  const Ids description = tokenizer.encode(wording.description);
  const Ids question = tokenizer.encode(wording.question);
  std::vector<GridQuestion> cells;
  for (const int64_t length : options.lengths) {
    Ids noise;
    for (const int64_t depth : options.depths) {
      const std::string key = std::to_string(rng.integers(power_of_ten(options.digits - 1), power_of_ten(options.digits)));
      const Ids information = tokenizer.encode(with_key(wording.information, key));
      const PromptParts parts = {length, static_cast<int64_t>(description.size()), static_cast<int64_t>(information.size()),
                                 static_cast<int64_t>(question.size())};
      parts.context("eval passkey");
      if (noise.empty()) noise = noise_tokens(tokenizer, wording.noise, length);
      const int64_t position = parts.position(depth);
      const int64_t before = position - parts.description;
      const int64_t after = length - position - parts.needle - parts.question;
      Ids message = description;
      message.insert(message.end(), noise.begin(), noise.begin() + static_cast<ptrdiff_t>(before));
      message.insert(message.end(), information.begin(), information.end());
      message.insert(message.end(), noise.begin(), noise.begin() + static_cast<ptrdiff_t>(after));  // it starts again
      message.insert(message.end(), question.begin(), question.end());
      cells.push_back({length, depth, before, key, key, chat_prompt(tokenizer, chat, message, options.clean_up)});
    }
  }
  add_questions(task, std::move(cells));
  return task;
}

GridResult run_passkey(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& options,
                       const EvalCallbacks& callbacks) {
  const ScoreFunction score = [](const EvalQuestion&, GridCell& cell) {
    const std::string_view number = first_digits(cell.output);
    cell.hit = cell.output.find(cell.target) != std::string::npos;
    cell.exact = number == cell.target;
    cell.score = python_round(fuzz_ratio(number, cell.target) / 100.0, 2);
  };
  return run_grid(model, tokenizer, task, score, "fuzz", "accuracy", options, callbacks);
}

}  // namespace tenfold
