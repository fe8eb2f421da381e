#include "eval/latent.h"

#include "core/error.h"
#include "core/rng.h"
#include "eval/grid_task.h"
#include "eval/haystack.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"
#include "eval/needle.h"
#include "eval/prompt.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

namespace tenfold {
namespace {

/// The longest prompt that still counts as a short one for the base accuracy.
constexpr int64_t kShort = 1024;

struct Cell {
  int64_t before = 0;
  size_t length = 0;  ///< indices
  size_t depth = 0;
  size_t pair = 0;
  std::string name;
  std::vector<int32_t> prompt;
};

std::string with(std::string text, std::string_view place, std::string_view value) {
  for (size_t at = text.find(place); at != std::string::npos; at = text.find(place, at + value.size()))
    text.replace(at, place.size(), value);
  return text;
}

/// Names of which nothing else in the prompt speaks.
std::vector<std::string> free_names(const LatentOptions& options, const std::string& text) {
  std::vector<std::string> names;
  std::copy_if(options.wording.names.begin(), options.wording.names.end(), std::back_inserter(names),
               [&](const std::string& name) { return text.find(name) == std::string::npos; });
  if (names.empty()) {
    throw_input("eval latent: haystack {}: each of the {} names is in it already; give others in --wording", options.haystack,
                options.wording.names.size());
  }
  return names;
}

void summarise(LatentResult& result, const LatentTask& task) {
  std::map<int64_t, LatentRow> lengths;
  std::map<int64_t, LatentRow> depths;
  std::map<int64_t, LatentRow> pairs;
  for (const Answered& answer : result.answers) {
    const auto count = [&](std::map<int64_t, LatentRow>& rows, const char* key) {
      const int64_t value = json_int(answer.question->about, key, answer.question->id);
      LatentRow& row = rows[value];
      row.at = value;
      ++row.questions;
      row.hits += answer.score["hit"].get<bool>() ? 1 : 0;
    };
    count(lengths, "length");
    count(depths, "depth");
    count(pairs, "pair");
  }
  const auto rows = [](const std::map<int64_t, LatentRow>& from, const char* key) {
    Json out = Json::array();
    for (const auto& [value, row] : from) {
      const Interval interval = wilson_interval(row.hits, row.questions);
      out.push_back({{key, value},
                     {"questions", row.questions},
                     {"hits", row.hits},
                     {"accuracy", row.accuracy()},
                     {"interval", {interval.low, interval.high}}});
    }
    return out;
  };
  for (const auto& [value, row] : lengths) {
    if (result.lengths.empty() || value <= kShort) result.base = std::max(result.base, row.accuracy());
    result.lengths.push_back(row);
  }
  for (const LatentRow& row : result.lengths) {
    if (result.base > 0 && row.accuracy() >= kLatentShare * result.base) result.effective_length = row.at;
  }
  result.metrics = {{"task", task.name},
                    {"by_length", rows(lengths, "length")},
                    {"by_depth", rows(depths, "depth")},
                    {"by_pair", rows(pairs, "pair")},
                    {"base_accuracy", result.base},
                    {"share_of_base", kLatentShare},
                    {"effective_length", result.effective_length ? Json(*result.effective_length) : Json(nullptr)}};
}

Json wording_json(const LatentWording& wording, size_t pairs) {
  Json out = {{"description", wording.description}, {"ask", wording.ask}, {"pairs", Json::array()}, {"names", wording.names}};
  for (size_t i = 0; i < pairs; ++i) {
    out["pairs"].push_back({{"needle", wording.pairs[i].needle}, {"question", wording.pairs[i].question}});
  }
  return out;
}

}  // namespace

LatentTask make_latent_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LatentOptions& options) {
  check_grid({.lengths = options.lengths,
              .depths = options.depths,
              .max_new_tokens = options.decoding.max_new_tokens,
              .stop_ids = options.decoding.stop_ids},
             "latent");
  const LatentWording& wording = options.wording;
  const size_t pairs =
      options.pairs > 0 ? std::min(wording.pairs.size(), static_cast<size_t>(options.pairs)) : wording.pairs.size();
  LatentTask task;
  task.name = "latent";
  task.lengths = options.lengths;
  task.depths = options.depths;
  std::sort(task.lengths.begin(), task.lengths.end());
  std::sort(task.depths.begin(), task.depths.end());
  const std::string text = load_haystack(options.haystack, tokenizer, task.lengths.back());
  const std::vector<std::string> names = free_names(options, text);
  RepeatedText haystack(text, tokenizer, "haystack " + options.haystack);
  const std::vector<int32_t> description = tokenizer.encode(wording.description);

  std::vector<Cell> cells;
  for (size_t l = 0; l < task.lengths.size(); ++l) {
    const std::vector<int32_t>& all = haystack.tokens_for(task.lengths[l]);
    for (size_t d = 0; d < task.depths.size(); ++d) {
      for (size_t p = 0; p < pairs; ++p) {
        const auto length = static_cast<uint64_t>(task.lengths[l]);
        Rng rng(options.seed, mix64(mix64(length, static_cast<uint64_t>(task.depths[d])), p));
        Cell cell{0, l, d, p, rng.pick(names), {}};
        const auto needle = tokenizer.encode(fmt::format("\n\n{}\n\n", with(wording.pairs[p].needle, "{name}", cell.name)));
        const auto question = tokenizer.encode(with(wording.ask, "{question}", wording.pairs[p].question));
        const HiddenNeedle hidden = hide_needle(description, needle, question, all, task.lengths[l], task.depths[d],
                                                /*strict_reference=*/false, "eval latent");
        cell.before = hidden.before;
        cell.prompt = chat_prompt(tokenizer, chat, hidden.message, options.decoding.clean_up);
        cells.push_back(std::move(cell));
      }
    }
  }
  // Each prompt then shares with the one before it all that precedes the earlier needle.
  std::sort(cells.begin(), cells.end(), [](const Cell& a, const Cell& b) {
    return std::tie(a.before, a.length, a.depth, a.pair) < std::tie(b.before, b.length, b.depth, b.pair);
  });
  for (Cell& cell : cells) {
    EvalQuestion question;
    question.id = fmt::format("{}-{}-{}", task.lengths[cell.length], task.depths[cell.depth], cell.pair);
    question.about = {
        {"length", task.lengths[cell.length]}, {"depth", task.depths[cell.depth]}, {"pair", cell.pair}, {"target", cell.name}};
    question.prompt = std::move(cell.prompt);
    task.questions.push_back(std::move(question));
  }
  task.decodings = {options.decoding};
  task.config = {{"task", "latent"},
                 {"lengths", task.lengths},
                 {"depths", task.depths},
                 {"seed", options.seed},
                 {"haystack_hash", hash_of_text(text)},
                 {"wording", wording_json(wording, pairs)},
                 {"max_new_tokens", options.decoding.max_new_tokens},
                 {"stop_ids", options.decoding.stop_ids},
                 {"chat_template", chat.name()},
                 {"clean_up_tokenization_spaces", options.decoding.clean_up}};
  task.notes["haystack"] = options.haystack;
  return task;
}

LatentResult run_latent(LanguageModel& model, const Tokenizer& tokenizer, const LatentTask& task, const EvalRunOptions& options,
                        const EvalCallbacks& callbacks) {
  const AnswerScore score = [](const EvalQuestion& question, const std::string& output) -> Json {
    return {{"hit", holds_answer(output, json_string(question.about, "target", question.id))}};
  };
  return finish_answers<LatentResult>(run_answers(model, tokenizer, task, score, options, callbacks), options,
                                      [&](LatentResult& result) { summarise(result, task); });
}

}  // namespace tenfold
