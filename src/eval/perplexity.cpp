#include "eval/perplexity.h"

#include "core/error.h"
#include "data/text_corpus.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

namespace tenfold {
namespace {

constexpr int64_t kFirstBucket = 1024;

struct NamedText {
  std::string name;
  std::string text;
};

bool is_json_lines(const std::string& path) { return path.ends_with(".jsonl") || path.ends_with(".json"); }

std::vector<NamedText> read_texts(const PerplexityOptions& options, bool json_lines) {
  std::vector<NamedText> texts;
  if (!json_lines) {
    for (TextDocument& document : load_text(options.texts)) texts.push_back({std::move(document.name), std::move(document.text)});
    return texts;
  }
  for (const std::string& path : options.texts) {
    for_each_json_line(path, [&](Json& line, int64_t number) {
      std::string where = fmt::format("{}:{}", path, number);
      std::string text = json_string(line, "text", where);
      texts.push_back({std::move(where), std::move(text)});
    });
  }
  return texts;
}

void check_options(const PerplexityOptions& o) {
  if (o.texts.empty()) throw_input("eval ppl: no text; give --text PATH");
  if (o.window < 2) throw_input("eval ppl: --window: expected at least 2 tokens, got {}", o.window);
  if (o.stride < -1) throw_input("eval ppl: --stride: expected 0 or more tokens, got {}", o.stride);
  if (o.windows < 0) throw_input("eval ppl: --windows: expected 0 (all) or more, got {}", o.windows);
  const auto lines = std::count_if(o.texts.begin(), o.texts.end(), is_json_lines);
  if (lines != 0 && lines != std::ssize(o.texts)) {
    throw_input("eval ppl: --text: JSON lines and plain text are averaged in different ways; score them in two runs");
  }
}

/// The reference's "first N texts" takes the last N; strict keeps that.
void limit_texts(std::vector<NamedText>& texts, const PerplexityOptions& options) {
  const auto keep = static_cast<size_t>(options.max_texts);
  if (options.max_texts <= 0 || texts.size() <= keep) return;
  if (options.strict_reference) {
    texts.erase(texts.begin(), texts.end() - static_cast<ptrdiff_t>(keep));
  } else {
    texts.resize(keep);
  }
}

std::vector<int32_t> window_ids(const std::vector<int32_t>& ids, const TextWindow& window, int32_t bos) {
  std::vector<int32_t> out;
  if (bos >= 0) out.push_back(bos);
  out.insert(out.end(), ids.begin() + static_cast<ptrdiff_t>(window.begin), ids.begin() + static_cast<ptrdiff_t>(window.end));
  return out;
}

/// What one window's losses add up to: its line in answers.jsonl.
Json score_window(const TextWindow& window, bool has_bos, std::span<const float> nll, int64_t length, std::string_view id) {
  const int64_t shift = has_bos ? 1 : 0;
  TENFOLD_CHECK(std::ssize(nll) == window.end - window.begin + shift, "{}: {} losses", id, nll.size());
  auto buckets = position_buckets(length);
  size_t bucket = 0;
  for (int64_t t = std::max(window.first_target, window.begin); t < window.end; ++t) {
    const int64_t position = t - window.begin + shift;
    if (position == 0) continue;  // nothing to predict it from
    while (position >= buckets[bucket].end) ++bucket;
    const double loss = nll[static_cast<size_t>(position)];
    if (!std::isfinite(loss))
      throw_input("eval ppl: {}: the loss at position {} is {}; the model or its RoPE is broken", id, position, loss);
    ++buckets[bucket].tokens;
    buckets[bucket].nll_sum += loss;
  }
  Json tokens = Json::array();
  Json sums = Json::array();
  for (const PositionBucket& b : buckets) {
    tokens.push_back(b.tokens);
    sums.push_back(b.nll_sum);
  }
  return {{"tokens", tokens}, {"nll_sum", sums}};
}

struct Sums {
  int64_t tokens = 0;
  double nll = 0;
};

/// Adds an answer's buckets; InputError when its arrays are not what score_window wrote.
Sums add_answer(const Json& line, std::vector<PositionBucket>& buckets) {
  const std::string where = "answers.jsonl: " + json_string(line, "id", "answers.jsonl");
  const auto array = [&](const char* key) -> const Json& {
    if (!line.contains(key) || !line.at(key).is_array() || line.at(key).size() != buckets.size()) {
      throw_input("{}: {}: expected an array of {} numbers", where, key, buckets.size());
    }
    return line.at(key);
  };
  const Json& tokens = array("tokens");
  const Json& sums = array("nll_sum");
  Sums total;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (!tokens[i].is_number_integer() || !sums[i].is_number()) throw_input("{}: tokens, nll_sum: expected numbers", where);
    buckets[i].tokens += tokens[i].get<int64_t>();
    buckets[i].nll_sum += sums[i].get<double>();
    total.tokens += tokens[i].get<int64_t>();
    total.nll += sums[i].get<double>();
  }
  return total;
}

std::string bucket_name(const PositionBucket& bucket) {
  const auto name = [](int64_t n) { return n % 1024 == 0 ? fmt::format("{}K", n / 1024) : std::to_string(n); };
  return bucket.begin == 0 ? "0-" + name(bucket.end) : name(bucket.begin) + "-" + name(bucket.end);
}

Json metrics_of(const PerplexityTask& task, const PerplexityResult& result, const std::map<int64_t, Sums>& by_text) {
  Json metrics = {{"task", "ppl"}, {"nll", result.nll}, {"perplexity", result.perplexity}, {"tokens", result.tokens}};
  metrics["mean_over"] = task.mean_over_texts ? "texts" : "tokens";
  metrics["window"] = task.options.window;
  metrics["windows"] = result.run.answers.size();
  metrics["by_position"] = Json::array();
  for (const PositionBucket& b : result.by_position) {
    if (b.tokens == 0) continue;
    metrics["by_position"].push_back(
        {{"positions", bucket_name(b)}, {"begin", b.begin}, {"end", b.end}, {"tokens", b.tokens}, {"nll", b.nll()}});
  }
  metrics["by_text"] = Json::array();
  for (const auto& [text, sums] : by_text) {
    if (sums.tokens == 0) continue;
    const double mean = sums.nll / static_cast<double>(sums.tokens);
    metrics["by_text"].push_back({{"text", task.names[static_cast<size_t>(text)]}, {"tokens", sums.tokens}, {"nll", mean}});
  }
  add_run_fields(metrics, result.run);
  return metrics;
}

}  // namespace

std::vector<TextWindow> lay_windows(int64_t text, int64_t n, int64_t length, int64_t stride) {
  std::vector<TextWindow> windows;
  for (int64_t begin = 0, seen = 0; seen < n; begin += stride) {
    if (begin >= n) break;
    const int64_t end = std::min(begin + length, n);
    windows.push_back({text, begin, end, std::max(begin, seen)});
    seen = end;
    if (stride == 0) break;
  }
  return windows;
}

std::vector<TextWindow> spread_windows(const std::vector<TextWindow>& all, int64_t limit) {
  if (limit == 0 || std::ssize(all) <= limit) return all;
  int64_t longest = 0;
  for (const TextWindow& w : all) longest = std::max(longest, w.end - w.begin);
  std::vector<TextWindow> whole;
  std::copy_if(all.begin(), all.end(), std::back_inserter(whole),
               [&](const TextWindow& w) { return w.end - w.begin == longest; });
  const auto n = std::ssize(whole);
  if (n <= limit) return whole;
  std::vector<TextWindow> chosen;
  for (int64_t i = 0; i < limit; ++i) chosen.push_back(whole[static_cast<size_t>((2 * i + 1) * n / (2 * limit))]);
  return chosen;
}

std::vector<PositionBucket> position_buckets(int64_t window) {
  std::vector<PositionBucket> buckets = {{0, kFirstBucket, 0, 0}};
  while (buckets.back().end < window) buckets.push_back({buckets.back().end, 2 * buckets.back().end, 0, 0});
  return buckets;
}

int64_t PerplexityTask::tokens_needed() const {
  size_t longest = 0;
  for (const EvalQuestion& question : questions) longest = std::max(longest, question.prompt.size());
  return static_cast<int64_t>(longest);
}

PerplexityTask make_perplexity_task(const Tokenizer& tokenizer, const PerplexityOptions& options) {
  check_options(options);
  PerplexityTask task;
  task.options = options;
  task.mean_over_texts = is_json_lines(options.texts.front());
  task.has_bos = tokenizer.adds_bos() && tokenizer.bos_id() >= 0;
  const int64_t length = options.window - (task.has_bos && options.stride != 0 ? 1 : 0);
  const int64_t stride = options.stride < 0 ? length : options.stride;

  std::vector<NamedText> texts = read_texts(options, task.mean_over_texts);
  limit_texts(texts, options);
  std::vector<std::vector<int32_t>> ids;
  std::vector<TextWindow> all;
  for (NamedText& text : texts) {
    std::vector<int32_t> encoded = tokenizer.encode(text.text);
    const auto n = std::ssize(encoded);
    if (n < std::max<int64_t>(options.min_length, task.has_bos ? 1 : 2)) continue;
    const auto windows = lay_windows(std::ssize(ids), n, length, stride);
    all.insert(all.end(), windows.begin(), windows.end());
    ids.push_back(std::move(encoded));
    task.names.push_back(std::move(text.name));
  }
  if (all.empty()) throw_input("eval ppl: no text has {} tokens or more", std::max<int64_t>(options.min_length, 2));
  task.windows = spread_windows(all, options.windows);
  for (const TextWindow& w : task.windows) {
    EvalQuestion question;
    question.id = fmt::format("{}:{}-{}", w.text, w.begin, w.end);
    question.prompt = window_ids(ids[static_cast<size_t>(w.text)], w, task.has_bos ? tokenizer.bos_id() : -1);
    question.about = {{"text", w.text}, {"begin", w.begin}, {"end", w.end}, {"first_target", w.first_target}};
    task.questions.push_back(std::move(question));
  }
  task.config = {{"task", "ppl"},
                 {"window", options.window},
                 {"stride", stride},
                 {"windows", options.windows},
                 {"min_length", options.min_length},
                 {"max_texts", options.max_texts},
                 {"strict_reference", options.strict_reference}};
  task.notes["texts"] = options.texts;
  return task;
}

PerplexityResult run_perplexity(LanguageModel& model, const PerplexityTask& task, const EvalRunOptions& options,
                                const EvalCallbacks& callbacks) {
  if (task.tokens_needed() > model.capacity()) {
    throw_input("eval ppl: a window takes {} tokens, but the session was made for {}; use a smaller --window",
                task.tokens_needed(), model.capacity());
  }
  const AskFunction ask = [&](const EvalQuestion& question, EvalTiming& timing) {
    const auto i = static_cast<size_t>(&question - task.questions.data());
    const auto start = std::chrono::steady_clock::now();
    const std::vector<float> nll = model.score(question.prompt);
    timing.prefill_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return score_window(task.windows[i], task.has_bos, nll, task.tokens_needed(), question.id);
  };
  EvalRunOptions run_options = options;
  run_options.notes.update(task.notes);

  PerplexityResult result;
  result.run = run_questions(task.config, task.questions, ask, run_options, callbacks);
  result.by_position = position_buckets(task.tokens_needed());
  std::map<int64_t, Sums> by_text;
  Sums total;
  for (const Json& line : result.run.answers) {
    const Sums sums = add_answer(line, result.by_position);
    Sums& text = by_text[json_int(line, "text", "answers.jsonl")];
    text.tokens += sums.tokens, text.nll += sums.nll;
    total.tokens += sums.tokens, total.nll += sums.nll;
  }
  result.tokens = total.tokens;
  if (total.tokens > 0) result.nll = total.nll / static_cast<double>(total.tokens);
  if (task.mean_over_texts && !by_text.empty()) {
    double sum = 0;
    int64_t texts = 0;
    for (const auto& [text, sums] : by_text) {
      if (sums.tokens == 0) continue;
      sum += sums.nll / static_cast<double>(sums.tokens);
      ++texts;
    }
    if (texts > 0) result.nll = sum / static_cast<double>(texts);
  }
  result.perplexity = std::exp(result.nll);
  result.metrics = metrics_of(task, result, by_text);
  if (!result.run.interrupted) write_metrics(run_options, result.metrics);
  return result;
}

}  // namespace tenfold
