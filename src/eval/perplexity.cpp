#include "eval/perplexity.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "data/text_corpus.h"

#include <algorithm>
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

void check_paired(const PerplexityOptions& o) {
  const PairedPositions& p = *o.paired;
  if (p.near_begin < 1 || p.near_begin >= p.near_end || p.near_end > p.far_begin || p.far_begin >= p.far_end) {
    throw_input(
        "eval ppl: --paired {}: expected A..B,C..D with 0 < C < D <= A < B: positions of the same tokens in long windows "
        "and in short ones",
        p.text());
  }
  if (o.stride >= 0 && o.stride < p.far_end - p.far_begin) {
    throw_input("eval ppl: --stride {}: with --paired {} at least {}, else windows share target tokens", o.stride, p.text(),
                p.far_end - p.far_begin);
  }
  if (o.min_length > 0) throw_input("eval ppl: --min-length: --paired takes whole windows alone; leave it out");
}

void check_options(const PerplexityOptions& o) {
  if (o.texts.empty()) throw_input("eval ppl: no text; give --text PATH");
  if (o.window < 2) throw_input("eval ppl: --window: expected at least 2 tokens, got {}", o.window);
  if (o.stride < -1) throw_input("eval ppl: --stride: expected 0 or more tokens, got {}", o.stride);
  if (o.windows < 0) throw_input("eval ppl: --windows: expected 0 (all) or more, got {}", o.windows);
  if (o.paired) check_paired(o);
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

struct Sums {
  int64_t tokens = 0;
  double nll = 0;
};

/// First target of a window that its pair shares.
int64_t first_shared(const TextWindow& window, const std::optional<PairedPositions>& paired) {
  return window.side == PairSide::kFar ? window.end - (paired->far_end - paired->far_begin) : window.first_target;
}

/// Whole long windows, as many as asked for, with their short ones.
std::vector<TextWindow> paired_windows(std::vector<TextWindow> all, const PerplexityOptions& options, int64_t length,
                                       int64_t shift) {
  std::erase_if(all, [&](const TextWindow& w) { return w.end - w.begin < length; });
  const std::vector<TextWindow> chosen = spread_windows(all, options.windows);
  if (chosen.empty() || std::ssize(chosen) < options.windows) {
    throw_input(
        "eval ppl: --paired {}: the texts hold {} whole windows of {} tokens {} apart, and --windows asks for {}; give more "
        "text, or a --stride of {} or more",
        options.paired->text(), all.size(), options.paired->far_end, options.stride < 0 ? length : options.stride,
        options.windows, options.paired->far_end - options.paired->far_begin);
  }
  return lay_pairs(chosen, *options.paired, shift);
}

/// What one window's losses add up to: its line in answers.jsonl.
Json score_window(const TextWindow& window, const std::optional<PairedPositions>& paired, bool has_bos,
                  std::span<const float> nll, int64_t length, std::string_view id) {
  const int64_t shift = has_bos ? 1 : 0;
  TENFOLD_CHECK(std::ssize(nll) == window.end - window.begin + shift, "{}: {} losses", id, nll.size());
  auto buckets = position_buckets(length);
  size_t bucket = 0;
  Sums shared;
  for (int64_t t = std::max(window.first_target, window.begin); t < window.end; ++t) {
    const int64_t position = t - window.begin + shift;
    if (position == 0) continue;  // nothing to predict it from
    while (position >= buckets[bucket].end) ++bucket;
    const double loss = nll[static_cast<size_t>(position)];
    if (!std::isfinite(loss))
      throw_input("eval ppl: {}: the loss at position {} is {}; the model or its RoPE is broken", id, position, loss);
    ++buckets[bucket].tokens;
    buckets[bucket].nll_sum += loss;
    if (window.side != PairSide::kNone && t >= first_shared(window, paired)) ++shared.tokens, shared.nll += loss;
  }
  Json tokens = Json::array();
  Json sums = Json::array();
  for (const PositionBucket& b : buckets) {
    tokens.push_back(b.tokens);
    sums.push_back(b.nll_sum);
  }
  Json line = {{"tokens", tokens}, {"nll_sum", sums}};
  if (window.side != PairSide::kNone) line["shared_tokens"] = shared.tokens, line["shared_nll_sum"] = shared.nll;
  return line;
}

/// Whether a line only reads again what a long window has.
bool is_near(const Json& line) { return line.contains("side") && line["side"] == "near"; }

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

std::string count_name(int64_t n) { return n > 0 && n % 1024 == 0 ? fmt::format("{}K", n / 1024) : std::to_string(n); }

Json paired_metrics(const PerplexityTask& task, const PerplexityResult& result) {
  Json json = {{"positions", task.options.paired->text()}, {"windows", result.pairs.size()}};
  double far = 0;
  double near = 0;
  int64_t tokens = 0;
  json["pairs"] = Json::array();
  for (const PairedLoss& pair : result.pairs) {
    far += pair.far_nll;
    near += pair.near_nll;
    tokens += pair.tokens;
    json["pairs"].push_back({{"text", task.names[static_cast<size_t>(pair.text)]},
                             {"begin", pair.begin},
                             {"tokens", pair.tokens},
                             {"far_nll", pair.far_nll},
                             {"near_nll", pair.near_nll}});
  }
  const auto n = static_cast<double>(result.pairs.size());
  json["tokens"] = tokens;
  json["far_nll"] = far / n;
  json["near_nll"] = near / n;
  json["difference"] = result.more_context.mean;
  if (const auto& interval = result.more_context.interval) json["interval"] = {interval->low, interval->high};
  return json;
}

void add_pairs(PerplexityResult& result) {
  result.pairs = paired_losses(result.run.answers);
  std::vector<double> differences;
  for (const PairedLoss& pair : result.pairs) differences.push_back(pair.far_nll - pair.near_nll);
  if (!differences.empty()) result.more_context = mean_interval(differences);
}

Json metrics_of(const PerplexityTask& task, const PerplexityResult& result, const std::map<int64_t, Sums>& by_text) {
  Json metrics = {{"task", "ppl"}, {"nll", result.nll}, {"perplexity", result.perplexity}, {"tokens", result.tokens}};
  metrics["mean_over"] = task.mean_over_texts ? "texts" : "tokens";
  metrics["window"] = task.options.paired ? task.options.paired->far_end : task.options.window;
  metrics["windows"] =
      std::count_if(result.run.answers.begin(), result.run.answers.end(), [](const Json& line) { return !is_near(line); });
  if (!result.pairs.empty()) metrics["paired"] = paired_metrics(task, result);
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

std::vector<TextWindow> lay_pairs(const std::vector<TextWindow>& far, const PairedPositions& paired, int64_t shift) {
  std::vector<TextWindow> windows;
  const int64_t piece = paired.near_end - paired.near_begin;
  for (const TextWindow& whole : far) {
    const auto pair = static_cast<int64_t>(&whole - far.data());
    windows.push_back(whole);
    windows.back().first_target = whole.begin;
    windows.back().pair = pair;
    windows.back().side = PairSide::kFar;
    for (int64_t at = whole.end - (paired.far_end - paired.far_begin); at < whole.end; at += piece) {
      // BOS takes the first of the positions before the targets.
      windows.push_back(
          {whole.text, at - (paired.near_begin - shift), std::min(at + piece, whole.end), at, pair, PairSide::kNear});
    }
  }
  return windows;
}

std::string PairedPositions::text() const {
  return fmt::format("{}..{},{}..{}", count_name(far_begin), count_name(far_end), count_name(near_begin), count_name(near_end));
}

std::string bucket_name(const PositionBucket& bucket) {
  return fmt::format("{}-{}", count_name(bucket.begin), count_name(bucket.end));
}

std::vector<PairedLoss> paired_losses(std::span<const Json> answers) {
  struct Pair {
    const Json* far = nullptr;
    Sums sums[2];  // far, near
  };
  std::map<int64_t, Pair> pairs;
  for (const Json& line : answers) {
    if (!line.contains("side")) continue;
    const std::string where = "answers.jsonl: " + json_string(line, "id", "answers.jsonl");
    Pair& pair = pairs[json_int(line, "pair", where)];
    if (!is_near(line)) pair.far = &line;
    Sums& sums = pair.sums[is_near(line) ? 1 : 0];
    sums.tokens += json_int(line, "shared_tokens", where);
    sums.nll += json_number(line, "shared_nll_sum", where);
  }
  std::vector<PairedLoss> out;
  for (const auto& [number, pair] : pairs) {
    const Sums& far = pair.sums[0];
    const Sums& near = pair.sums[1];
    if (pair.far == nullptr || far.tokens == 0 || near.tokens != far.tokens) continue;  // interrupted in its midst
    const auto n = static_cast<double>(far.tokens);
    out.push_back({json_int(*pair.far, "text", "answers.jsonl"), json_int(*pair.far, "begin", "answers.jsonl"), far.tokens,
                   far.nll / n, near.nll / n});
  }
  return out;
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
  const int64_t shift = task.has_bos ? 1 : 0;
  const int64_t length = options.paired ? options.paired->far_end - shift : options.window - (options.stride != 0 ? shift : 0);
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
  task.windows = options.paired ? paired_windows(std::move(all), options, length, shift) : spread_windows(all, options.windows);
  for (const TextWindow& w : task.windows) {
    EvalQuestion question;
    question.id = fmt::format("{}:{}-{}", w.text, w.begin, w.end);
    question.prompt = window_ids(ids[static_cast<size_t>(w.text)], w, task.has_bos ? tokenizer.bos_id() : -1);
    question.about = {{"text", w.text}, {"begin", w.begin}, {"end", w.end}, {"first_target", w.first_target}};
    if (w.side != PairSide::kNone) {
      question.about["pair"] = w.pair;
      question.about["side"] = w.side == PairSide::kFar ? "far" : "near";
      question.id += w.side == PairSide::kFar ? " far" : " near";
    }
    task.questions.push_back(std::move(question));
  }
  task.config = {{"task", "ppl"},
                 {"window", options.window},
                 {"stride", stride},
                 {"windows", options.windows},
                 {"min_length", options.min_length},
                 {"max_texts", options.max_texts},
                 {"strict_reference", options.strict_reference}};
  if (options.paired) {
    task.config["window"] = options.paired->far_end;
    task.config["paired"] = options.paired->text();
  }
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
    const Stopwatch watch;
    const std::vector<float> nll = model.score(question.prompt);
    timing.prefill_seconds = watch.seconds();
    return score_window(task.windows[i], task.options.paired, task.has_bos, nll, task.tokens_needed(), question.id);
  };
  EvalRunOptions run_options = options;
  run_options.notes.update(task.notes);

  PerplexityResult result;
  result.run = run_questions(task.config, task.questions, ask, run_options, callbacks);
  result.by_position = position_buckets(task.tokens_needed());
  std::map<int64_t, Sums> by_text;
  Sums total;
  for (const Json& line : result.run.answers) {
    if (is_near(line)) continue;
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
  if (task.options.paired) add_pairs(result);
  result.metrics = metrics_of(task, result, by_text);
  if (!result.run.interrupted) write_metrics(run_options, result.metrics);
  return result;
}

}  // namespace tenfold
