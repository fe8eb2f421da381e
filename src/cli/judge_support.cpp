#include "cli/judge_support.h"

#include "core/error.h"
#include "eval/judge.h"
#include "eval/judge_endpoint.h"
#include "format/mapped_file.h"
#include "report/heat_map.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <utility>

namespace tenfold::cli {
namespace {

std::string key_in(const std::string& path) {
  if (path.empty()) return {};
  std::string key = read_text_file(path, /*limit=*/1 << 16);
  while (key.ends_with('\n') || key.ends_with('\r') || key.ends_with(' ')) key.pop_back();
  if (key.empty()) throw_input("--judge-key-file {}: expected a key, got an empty file", path);
  return key;
}

JudgeWording wording_of(const JudgeOptions& options) {
  return options.wording.empty() ? JudgeWording() : JudgeWording::from_json(options.wording);
}

JudgeEndpointOptions endpoint_options(const JudgeOptions& options, std::function<bool()> should_stop) {
  return {.url = options.url,
          .model = options.model,
          .key = key_in(options.key_file),
          .timeout_seconds = options.timeout,
          .should_stop = std::move(should_stop)};
}

void draw_grades(const GridResult& result, const std::string& directory) {
  HeatMap map;
  map.title = "Needle In A HayStack";
  map.metric = "gpt";  // the published figure's name, whoever the judge is
  map.low = 1;
  map.high = 10;
  for (const int64_t length : result.options.lengths) map.columns.push_back(std::to_string(length));
  for (size_t d = 0; d < result.options.depths.size(); ++d) {
    map.rows.push_back(std::to_string(result.options.depths[d]));
    auto& row = map.values.emplace_back();
    for (const auto& column : result.cells) row.push_back(column[d].grade.value_or(std::nan("")));
  }
  write_heat_map((std::filesystem::path(directory) / "gpt").string(), map);
}

/// What came of it, faults too.
void tell(Context& context, const Judgement& judgement, const GridResult& result) {
  const Json& mean = result.metrics["gpt_mean"];
  context.console.line(fmt::format("judge: mean grade {} over {} of {} answers",
                                   mean.is_null() ? "-" : fmt::format("{:.2f}", mean.get<double>()), judgement.grades.size(),
                                   judgement.asked));
  if (std::ssize(judgement.grades) < judgement.asked) {
    context.console.note(
        fmt::format("warning: judge: {} without a reply, {} replies without a grade, {} not judged; they count for "
                    "nothing in the mean. The same command asks again.",
                    judgement.failed, judgement.nonsense, judgement.missing));
    for (const std::string& fault : judgement.faults) context.console.note("  " + fault);
  }
  context.summary["gpt_mean"] = mean;
  context.summary["judge"] = result.metrics["judge"];
}

Judgement ask(Context& context, const std::vector<JudgePrompt>& prompts, Judge& judge, const EvalRunOptions& run) {
  Progress progress(context.console, "judge", std::ssize(prompts), "answers");
  EvalCallbacks callbacks;
  callbacks.on_progress = [&](const EvalProgress& p) { progress.update(p.done); };
  callbacks.should_stop = [&] { return context.stop.requested(); };
  return ask_judge(judge, prompts, run.directory, callbacks);
}

}  // namespace

void declare_judge(OptionTable& table, JudgeOptions& options) {
  table.group("Judge");
  table.add("judge-url", options.url, "URL",
            "Let a model grade every answer from 1 to 10: any OpenAI-compatible endpoint, such as http://localhost:8000/v1");
  table.add("judge-model", options.model, "NAME", "What the endpoint calls its model");
  table.add("judge-key-file", options.key_file, "FILE", "File with the endpoint's key, where it wants one");
  table.add("judge-timeout", options.timeout, "SECONDS", "Longest wait for one reply; three attempts are made");
  table.add("judge-wording", options.wording, "FILE", "JSON {prompt} with {question}, {reference}, {answer} in it, else ours");
  table.add("judge-prompts", options.prompts, "FILE", "Write what a judge is to be asked, as JSON lines {id, hash, prompt}");
  table.add("judge-scores", options.scores, "FILE", "Read what it said: JSON lines {id, score} or {id, reply}");
}

void check_judge(const OptionTable& table, const JudgeOptions& options, std::vector<std::string>& errors) {
  const bool url = table.given("judge-url");
  if (url && table.given("judge-scores")) errors.push_back("--judge-url and --judge-scores: expected one of them");
  if (url && !table.given("judge-model")) errors.push_back("--judge-model NAME is missing: what --judge-url calls its model");
  if (!(options.timeout > 0))
    errors.push_back(fmt::format("--judge-timeout: expected more than 0 seconds, got {}", options.timeout));
  for (const char* name : {"judge-model", "judge-key-file", "judge-timeout"}) {
    if (table.given(name) && !url) errors.push_back(fmt::format("--{}: needs --judge-url", name));
  }
  if (table.given("judge-wording") && !url && !table.given("judge-prompts") && !table.given("judge-scores")) {
    errors.push_back("--judge-wording: needs --judge-url, --judge-prompts or --judge-scores");
  }
}

void prove_judge(const JudgeOptions& options) {
  wording_of(options);
  if (!options.url.empty()) JudgeEndpoint(endpoint_options(options, {}));
  if (!options.scores.empty()) read_text_file(options.scores);
}

void judge_grid(Context& context, const JudgeOptions& options, const GridTask& task, GridResult& result,
                const EvalRunOptions& run) {
  if ((options.url.empty() && options.prompts.empty() && options.scores.empty()) || result.run.interrupted) return;
  const JudgeWording wording = wording_of(options);
  if (!options.prompts.empty()) {
    const auto prompts = judge_prompts(task, result, wording, "");
    write_judge_prompts(options.prompts, prompts);
    context.console.note(fmt::format("{} prompts for a judge are in {}", prompts.size(), options.prompts));
  }
  if (options.url.empty() && options.scores.empty()) return;
  Judgement judgement;
  std::string name = options.scores;
  if (!options.scores.empty()) {
    judgement = read_judge_scores(options.scores, judge_prompts(task, result, wording, ""));
  } else {
    JudgeEndpoint judge(endpoint_options(options, [&] { return context.stop.requested(); }));
    name = judge.name();
    judgement = ask(context, judge_prompts(task, result, wording, name), judge, run);
  }
  result.run.interrupted = judgement.interrupted;  // the same command goes on
  add_judgement(result, judgement, name, run);
  tell(context, judgement, result);
  if (!judgement.grades.empty() && !judgement.interrupted) draw_grades(result, run.directory);
}

}  // namespace tenfold::cli
