#pragma once

#include "format/json.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

/// One question of a task. `about` holds the fields that its line of answers.jsonl repeats (length, depth, target ...).
struct EvalQuestion {
  std::string id;
  std::vector<int32_t> prompt;
  Json about = Json::object();
};

/// What one question, or all of them, cost. Kept apart from the answers, which must not depend on the clock.
struct EvalTiming {
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  ///< of the prompts, found in the cache
  int64_t new_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;

  EvalTiming& operator+=(const EvalTiming& other);
};

struct EvalProgress {
  int64_t done = 0;  ///< questions, resumed ones included
  int64_t total = 0;
  int64_t resumed = 0;           ///< found answered
  double tokens_per_second = 0;  ///< prompt tokens of this process's questions (reused ones included) over its seconds
  double seconds_left = 0;       ///< at that speed
  const Json* answer = nullptr;  ///< the line just written; null before the first
};

struct EvalCallbacks {
  std::function<void(const EvalProgress&)> on_progress;
  std::function<bool()> should_stop;  ///< asked between questions: what is answered is kept, the rest waits for the next run
};

struct EvalRunOptions {
  std::string directory;  ///< the task's own, eval/TASK in a run directory; empty: nothing is written
  Json model =
      Json::object();   ///< what tells the model apart (path, fingerprint, adapter, RoPE, template, dtype): must stay equal
  int64_t at_once = 1;  ///< greedy answers that the model's session writes at once
  Json notes = Json::object();  ///< recorded with the first run, free to differ later (command, version, threads, host)
};

struct EvalRun {
  std::vector<Json> answers;  ///< lines of answers.jsonl in the order of the questions; fewer than those if interrupted
  bool interrupted = false;
  int64_t asked = 0;    ///< by this process
  int64_t resumed = 0;  ///< found in answers.jsonl
  EvalTiming timing;    ///< of all answers whose cost is known
};

/// Answers one question: the fields of its line after id, prompt_hash, prompt_tokens and `about`. A function of the question
/// alone.
using AskFunction = std::function<Json(const EvalQuestion& question, EvalTiming& timing)>;

/// The same for several questions, whose answers do not depend on which are asked together: at most `at_once` of them, in their
/// order, and as many timings, which it fills. It may answer only the first of them, at least one.
struct AskTogether {
  int64_t at_once = 1;
  std::function<std::vector<Json>(std::span<const EvalQuestion* const> questions, std::span<EvalTiming> timings)> ask;
};

/// Each question alone.
AskTogether one_by_one(AskFunction ask);

/// 16 hexadecimal digits over the ids (FNV-1a of their little-endian bytes).
std::string hash_of_ids(std::span<const int32_t> ids);
std::string hash_of_text(std::string_view text);

/// Runs a task in its directory: config.json (`config`, the model and the notes), answers.jsonl (append-only, synced line by
/// line) and timings.jsonl. Questions whose id and prompt hash are already answered are not asked again, so a run that was killed
/// at any point goes on, and its answers.jsonl ends up with the same bytes as an undisturbed one. InputError: config.json differs
/// (naming the field), answers of other questions, a malformed line (file and line).
EvalRun run_questions(const Json& config, std::span<const EvalQuestion> questions, const AskFunction& ask,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks);
/// What is asked together is answered together: a kill loses no more than those.
EvalRun run_questions(const Json& config, std::span<const EvalQuestion> questions, const AskTogether& together,
                      const EvalRunOptions& options, const EvalCallbacks& callbacks);

/// Writes metrics.json (atomically) into the directory; nothing when it is empty.
void write_metrics(const EvalRunOptions& options, const Json& metrics);

/// The fields that every metrics.json ends with: questions, prompt tokens (sum, least, most), how many prompts were `truncated`
/// and how many answers empty, what the answers of each length of prompt (powers of two) came to, timing.
void add_run_fields(Json& metrics, const EvalRun& run);

/// JSON text with invalid UTF-8 replaced, so that no answer can break a file.
std::string dump_json(const Json& value, int indent = -1);

}  // namespace tenfold
