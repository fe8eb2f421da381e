#include "eval/run.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "eval/metrics/numbers.h"
#include "format/atomic_file.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace tenfold {
namespace {

uint64_t fnv1a(uint64_t hash, uint8_t byte) { return (hash ^ byte) * 0x100000001b3ULL; }
constexpr uint64_t kFnvStart = 0xcbf29ce484222325ULL;

std::string path_in(const std::string& directory, std::string_view name) {
  return (std::filesystem::path(directory) / name).string();
}

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

/// Throws at the first field of `now` that `then` has otherwise; `at` is the path to here, dotted.
void compare_configs(const Json& then, const Json& now, const std::string& at, const std::string& file) {
  if (then == now) return;
  if (then.is_object() && now.is_object()) {
    for (const auto& [key, value] : now.items()) {
      const std::string name = at.empty() ? key : at + "." + key;
      if (!then.contains(key)) throw_input("{}: {} is not set there, now {}; use another --out", file, name, dump_json(value));
      compare_configs(then.at(key), value, name, file);
    }
    for (const auto& [key, value] : then.items()) {
      if (now.contains(key)) continue;
      throw_input("{}: {} is {} there, now not set; use another --out", file, at.empty() ? key : at + "." + key,
                  dump_json(value));
    }
    return;
  }
  const auto shown = [](const Json& value) {
    const std::string text = dump_json(value);
    return text.size() <= 200 ? text : text.substr(0, 200) + " ...";
  };
  throw_input("{}: {} is {} there, now {}; answers of both cannot share a directory: use another --out", file, at, shown(then),
              shown(now));
}

/// Writes config.json, or checks that the one that is there asks the same questions of the same model.
void settle_config(const Json& config, const EvalRunOptions& options) {
  const std::string path = path_in(options.directory, "config.json");
  Json whole = config;
  whole["model"] = options.model;
  if (exists(path)) {
    Json then = parse_json(read_text_file(path), path);
    if (!then.is_object()) throw_input("{}: expected an object, got {}", path, then.type_name());
    then.erase("notes");
    // Through text, so that 1 and 1.0 or an int and an unsigned compare as they would when read back.
    compare_configs(then, parse_json(dump_json(whole), path), "", path);
    return;
  }
  if (const std::string answers = path_in(options.directory, "answers.jsonl"); exists(answers)) {
    throw_input("{} is there without its config.json, so nobody knows what was asked; use another --out or remove it", answers);
  }
  whole["notes"] = options.notes;
  write_file_atomically(path, dump_json(whole, 2) + "\n");
}

/// Answers already in answers.jsonl, by question.
std::vector<std::optional<Json>> read_answers(const std::string& path, std::span<const EvalQuestion> questions,
                                              std::span<const std::string> hashes) {
  std::unordered_map<std::string_view, size_t> index;
  for (size_t i = 0; i < questions.size(); ++i) {
    TENFOLD_CHECK(index.emplace(questions[i].id, i).second, "two questions are called {}", questions[i].id);
  }
  std::vector<std::optional<Json>> answers(questions.size());
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    const std::string id = json_string(line, "id", where);
    const auto found = index.find(id);
    if (found == index.end()) throw_input("{}: id: no question of this run is called \"{}\"; use another --out", where, id);
    const size_t i = found->second;
    if (answers[i]) throw_input("{}: id: \"{}\" is answered twice (duplicate); remove one line or use another --out", where, id);
    if (const std::string hash = json_string(line, "prompt_hash", where); hash != hashes[i]) {
      throw_input(
          "{}: prompt_hash: \"{}\" was asked with another prompt ({}, now {}); the text or the tokenizer changed: use another "
          "--out",
          where, id, hash, hashes[i]);
    }
    answers[i] = std::move(line);
  });
  return answers;
}

Json timing_line(const std::string& id, const EvalTiming& t) {
  return {{"id", id},
          {"prompt_tokens", t.prompt_tokens},
          {"reused_tokens", t.reused_tokens},
          {"new_tokens", t.new_tokens},
          {"prefill_seconds", t.prefill_seconds},
          {"decode_seconds", t.decode_seconds}};
}

/// Sum of timings.jsonl; a question whose process died between its answer and its timing is missing there.
EvalTiming read_timings(const std::string& path) {
  EvalTiming sum;
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    EvalTiming t;
    t.prompt_tokens = json_int_or(line, "prompt_tokens", 0, where);
    t.reused_tokens = json_int_or(line, "reused_tokens", 0, where);
    t.new_tokens = json_int_or(line, "new_tokens", 0, where);
    t.prefill_seconds = json_number_or(line, "prefill_seconds", 0, where);
    t.decode_seconds = json_number_or(line, "decode_seconds", 0, where);
    sum += t;
  });
  return sum;
}

/// Where answers go while a task runs.
struct Journal {
  std::optional<LineAppender> answers;
  std::optional<LineAppender> timings;
};

class Speedometer {
 public:
  explicit Speedometer(int64_t tokens_left) : tokens_left_(tokens_left) {}
  void add(int64_t tokens) {
    tokens_ += tokens;
    tokens_left_ -= tokens;
  }
  void fill(EvalProgress& progress) const {
    const double seconds = watch_.seconds();
    if (tokens_ == 0 || seconds <= 0) return;
    progress.tokens_per_second = static_cast<double>(tokens_) / seconds;
    progress.seconds_left = static_cast<double>(tokens_left_) / progress.tokens_per_second;
  }

 private:
  Stopwatch watch_;
  int64_t tokens_ = 0;
  int64_t tokens_left_ = 0;
};

Json answer_line(const EvalQuestion& question, const std::string& hash, const Json& answer) {
  Json line = {{"id", question.id}, {"prompt_hash", hash}, {"prompt_tokens", question.prompt.size()}};
  line.update(question.about);
  line.update(answer);
  return line;
}

}  // namespace

EvalTiming& EvalTiming::operator+=(const EvalTiming& other) {
  prompt_tokens += other.prompt_tokens;
  reused_tokens += other.reused_tokens;
  new_tokens += other.new_tokens;
  prefill_seconds += other.prefill_seconds;
  decode_seconds += other.decode_seconds;
  return *this;
}

std::string hash_of_ids(std::span<const int32_t> ids) {
  uint64_t hash = kFnvStart;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) hash = fnv1a(hash, static_cast<uint8_t>(static_cast<uint32_t>(id) >> shift));
  }
  return fmt::format("{:016x}", hash);
}

std::string hash_of_text(std::string_view text) {
  uint64_t hash = kFnvStart;
  for (const char c : text) hash = fnv1a(hash, static_cast<uint8_t>(c));
  return fmt::format("{:016x}", hash);
}

std::string dump_json(const Json& value, int indent) { return value.dump(indent, ' ', false, Json::error_handler_t::replace); }

EvalRun run_questions(const Json& config, std::span<const EvalQuestion> questions, const AskFunction& ask,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  return run_questions(config, questions, one_by_one(ask), options, callbacks);
}

AskTogether one_by_one(AskFunction ask) {
  return {1, [ask = std::move(ask)](std::span<const EvalQuestion* const> question, std::span<EvalTiming> timing) {
            return std::vector<Json>{ask(*question.front(), timing.front())};
          }};
}

EvalRun run_questions(const Json& config, std::span<const EvalQuestion> questions, const AskTogether& together,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  std::vector<std::string> hashes;
  for (const EvalQuestion& question : questions) hashes.push_back(hash_of_ids(question.prompt));

  Journal journal;
  std::vector<std::optional<Json>> answers(questions.size());
  EvalRun run;
  if (!options.directory.empty()) {
    make_directories(options.directory);
    settle_config(config, options);
    const std::string path = path_in(options.directory, "answers.jsonl");
    journal.answers.emplace(path, /*sync=*/true);  // cuts a torn last line, so before reading
    journal.timings.emplace(path_in(options.directory, "timings.jsonl"));
    answers = read_answers(path, questions, hashes);
    run.timing = read_timings(path_in(options.directory, "timings.jsonl"));
  }

  EvalProgress progress;
  progress.total = static_cast<int64_t>(questions.size());
  int64_t tokens_left = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (answers[i])
      ++run.resumed;
    else
      tokens_left += static_cast<int64_t>(questions[i].prompt.size());
  }
  progress.done = progress.resumed = run.resumed;
  if (callbacks.on_progress) callbacks.on_progress(progress);

  Speedometer speed(tokens_left);
  for (size_t next = 0;;) {
    std::vector<size_t> asked;
    for (; next < questions.size() && std::ssize(asked) < together.at_once; ++next)
      if (!answers[next]) asked.push_back(next);
    if (asked.empty()) break;
    if (callbacks.should_stop && callbacks.should_stop()) {
      run.interrupted = true;
      break;
    }
    std::vector<const EvalQuestion*> group;
    std::vector<EvalTiming> timings(asked.size());
    for (size_t k = 0; k < asked.size(); ++k) {
      group.push_back(&questions[asked[k]]);
      timings[k].prompt_tokens = std::ssize(group[k]->prompt);
    }
    const std::vector<Json> fields = together.ask(group, timings);
    TENFOLD_CHECK(!fields.empty() && fields.size() <= asked.size(), "{} answers to {} questions", fields.size(), asked.size());
    if (fields.size() < asked.size()) next = asked[fields.size()];
    for (size_t k = 0; k < fields.size(); ++k) {
      const size_t i = asked[k];
      const std::string text = dump_json(answer_line(questions[i], hashes[i], fields[k]));
      if (journal.answers) {
        journal.answers->append(text);
        journal.timings->append(dump_json(timing_line(questions[i].id, timings[k])));
      }
      answers[i] = parse_json(text, questions[i].id);  // what a resumed run would read
      run.timing += timings[k];
      ++run.asked;
      ++progress.done;
      speed.add(timings[k].prompt_tokens);
      speed.fill(progress);
      progress.answer = &*answers[i];
      if (callbacks.on_progress) callbacks.on_progress(progress);
    }
  }
  for (auto& answer : answers) {
    if (answer) run.answers.push_back(std::move(*answer));
  }
  return run;
}

void write_metrics(const EvalRunOptions& options, const Json& metrics) {
  if (!options.directory.empty()) write_file_atomically(path_in(options.directory, "metrics.json"), dump_json(metrics, 2) + "\n");
}

namespace {

/// Mean score or share of hits by the length of the prompt; nothing where answers have neither.
Json by_prompt_tokens(const std::vector<Json>& answers) {
  struct Bucket {
    int64_t questions = 0;
    int64_t hits = 0;
    int64_t judged = 0;  ///< answers with a hit or a miss
    double sum = 0;
  };
  std::map<int64_t, Bucket> buckets;  // by the least power of two that is above the length
  for (const Json& answer : answers) {
    const auto hit = answer.find("hit");
    const auto score = answer.find("score");
    if (hit == answer.end() && score == answer.end()) continue;
    int64_t above = 1024;
    while (above <= json_int(answer, "prompt_tokens", "answers.jsonl")) above *= 2;
    Bucket& bucket = buckets[above];
    ++bucket.questions;
    if (hit != answer.end()) {
      ++bucket.judged;
      bucket.hits += hit->get<bool>() ? 1 : 0;
    }
    bucket.sum += score != answer.end() ? score->get<double>() : hit->get<bool>() ? 1.0 : 0.0;
  }
  Json out = Json::array();
  for (const auto& [above, bucket] : buckets) {
    out.push_back(
        {{"below", above}, {"questions", bucket.questions}, {"mean", bucket.sum / static_cast<double>(bucket.questions)}});
    if (bucket.judged != bucket.questions) continue;  // an interval is for counts, not for graded scores
    const Interval interval = wilson_interval(bucket.hits, bucket.questions);
    out.back()["hits"] = bucket.hits;
    out.back()["interval"] = {interval.low, interval.high};
  }
  return out;
}

}  // namespace

void add_run_fields(Json& metrics, const EvalRun& run) {
  int64_t sum = 0;
  int64_t least = 0;
  int64_t most = 0;
  int64_t truncated = 0;
  int64_t empty = 0;
  for (const Json& answer : run.answers) {
    const int64_t tokens = json_int(answer, "prompt_tokens", "answers.jsonl");
    truncated += json_bool_or(answer, "truncated", false, "answers.jsonl") ? 1 : 0;
    if (const auto output = answer.find("output"); output != answer.end()) empty += *output == "" ? 1 : 0;
    sum += tokens;
    least = least == 0 ? tokens : std::min(least, tokens);
    most = std::max(most, tokens);
  }
  const EvalTiming& t = run.timing;
  const auto rate = [](int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0; };
  metrics["questions"] = run.answers.size();
  metrics["prompt_tokens"] = {{"sum", sum}, {"least", least}, {"most", most}};
  metrics["truncated"] = truncated;
  metrics["empty_answers"] = empty;
  if (Json buckets = by_prompt_tokens(run.answers); !buckets.empty()) metrics["by_prompt_tokens"] = std::move(buckets);
  metrics["timing"] = {{"prefill_seconds", t.prefill_seconds},
                       {"decode_seconds", t.decode_seconds},
                       {"reused_tokens", t.reused_tokens},
                       {"new_tokens", t.new_tokens},
                       {"prefill_tokens_per_second", rate(t.prompt_tokens - t.reused_tokens, t.prefill_seconds)},
                       {"decode_tokens_per_second", rate(t.new_tokens, t.decode_seconds)}};
}

}  // namespace tenfold
