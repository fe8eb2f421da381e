#include "cli/held_checks.h"

#include "cli/eval_support.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "data/files.h"
#include "eval/answer_task.h"
#include "eval/needle.h"
#include "eval/session_model.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBestFolder = "adapter-best";
constexpr const char* kBestNote = "held.json";

std::vector<std::string> wording_files(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    for (std::string& file : files_at(path, "--held-needles", {".json"})) files.push_back(std::move(file));
  }
  return files;
}

template <typename Questions, typename PromptOf>
std::string hash_of_prompts(const Questions& questions, const PromptOf& prompt_of) {
  std::vector<int32_t> all;
  for (const auto& question : questions) {
    const std::vector<int32_t>& prompt = prompt_of(question);
    all.insert(all.end(), prompt.begin(), prompt.end());
  }
  return hash_of_ids(all);
}

/// Replaces folder `to` by `from`.
void move_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::remove_all(to, error);
  fs::rename(from, to, error);
  if (error) throw_io("{} cannot become {}: {}", from.string(), to.string(), error.message());
}

}  // namespace

void declare_held(OptionTable& table, HeldOptions& options) {
  table.group("Held needles and text");
  table.add_many(
      "held-needles", options.needles, "PATH...",
      "Needles looked for on the way with the model as it then is: wording files as in recipes/held, or folders of them. "
      "OUT/adapter is then the adapter that found most");
  table.add("held-haystack", options.haystack, "PATH", "The text to hide them in: a file or folder that is not trained on");
  table.add_many("held-lengths", options.lengths, "N,...",
                 "Prompt lengths; not given: a quarter, a half and all of --max-length");
  table.add_many("held-depths", options.depths, "N,...", "Depths in per cent");
  table.add("held-every", options.every, "N", "Steps between checks; 0: a tenth of the run. The last step is always checked");
  table.add("held-green", options.green, "N", "End training after N checks in a row that find every needle; 0: never");
  table.add("held-patience", options.patience, "N",
            "End training after N checks in a row that find no more than the best before them; 0: never");
  table.add("held-max-new-tokens", options.max_new_tokens, "N", "Most tokens of an answer");
  table.add_many("held-text", options.texts, "PATH...",
                 "Text that is not trained on, whose loss by position is measured at each check with the model as it then is");
  table.add("held-window", options.window, "N", "Tokens of a window of it; 0: --max-length");
  table.add("held-windows", options.windows, "N", "Windows, spread over the text");
}

void check_held(const HeldOptions& options, std::vector<std::string>& errors) {
  // A run's config.toml names every option, so what is at its default is not complained about.
  const auto needs = [&](const char* needed, std::initializer_list<std::pair<const char*, bool>> set) {
    for (const auto& [name, is_set] : set) {
      if (is_set) errors.push_back(fmt::format("--held-{}: there is no {} PATH for it", name, needed));
    }
  };
  if (options.needles.empty())
    needs("--held-needles",
          {{"haystack", !options.haystack.empty()}, {"lengths", !options.lengths.empty()}, {"patience", options.patience != 0}});
  if (options.texts.empty()) needs("--held-text", {{"window", options.window != 0}});
  if (!options.wanted()) return needs("--held-needles or --held-text", {{"every", options.every != 0}});
  if (!options.needles.empty() && options.haystack.empty())
    errors.push_back("--held-needles: --held-haystack PATH is missing, the text to hide them in");
  for (const auto& [name, value, least] :
       {std::tuple("every", options.every, int64_t{0}), std::tuple("green", options.green, int64_t{0}),
        std::tuple("patience", options.patience, int64_t{0}), std::tuple("max-new-tokens", options.max_new_tokens, int64_t{1}),
        std::tuple("window", options.window, int64_t{0}), std::tuple("windows", options.windows, int64_t{1})}) {
    if (value < least) errors.push_back(fmt::format("--held-{}: expected {} or more, got {}", name, least, value));
  }
  for (const int64_t depth : options.depths) {
    if (depth < 0 || depth > 100) errors.push_back(fmt::format("--held-depths: expected 0 to 100, got {}", depth));
  }
}

void HeldHistory::add(int64_t step, int64_t hits, int64_t total) {
  if (hits >= best_hits_) best_step_ = step, best_hits_ = hits;
  all_found_ = hits == total ? all_found_ + 1 : 0;
  no_better_ = hits > most_ ? 0 : no_better_ + 1;
  most_ = std::max(most_, hits);
}

std::string HeldHistory::why_done() const {
  if (green_ > 0 && all_found_ >= green_) return fmt::format("every needle found in {} checks in a row", all_found_);
  if (patience_ > 0 && no_better_ >= patience_) return fmt::format("no more needles found in {} checks in a row", no_better_);
  return "";
}

HeldChecks::HeldChecks(const HeldOptions& options, const ModelOptions& model, const ModelConfig& config, int64_t max_length,
                       int64_t steps)
    : options_(options),
      steps_(steps),
      every_(options.every > 0 ? options.every : std::max<int64_t>(1, steps / 10)),
      tokenizer_(load_tokenizer(model.model)),
      clean_up_(cleans_up_spaces(model.model)),
      history_(options.green, options.patience) {
  const ChatTemplate chat = load_chat_template(model, tokenizer_);
  stop_ids_ = stop_ids_of(config, tokenizer_, chat);
  NeedleOptions grid;
  grid.lengths = options.lengths.empty() ? std::vector<int64_t>{max_length / 4, max_length / 2, max_length} : options.lengths;
  grid.depths = options.depths;
  grid.max_new_tokens = options.max_new_tokens;
  grid.stop_ids = stop_ids_;
  grid.clean_up = clean_up_;
  grid.haystack = options.haystack;
  for (const std::string& file : wording_files(options.needles)) {
    grid.wording = NeedleWording::from_json(file);
    for (EvalQuestion& ask : make_needle_task(tokenizer_, chat, grid).questions) {
      const std::string where = file + ": " + ask.id;
      Question question{fs::path(file).stem().string(), json_int(ask.about, "length", where), json_int(ask.about, "depth", where),
                        json_string(ask.about, "answer", where), std::move(ask)};
      questions_.push_back(std::move(question));
    }
  }
  // Neighbours share the longest beginnings, which the session then reads once.
  std::sort(questions_.begin(), questions_.end(),
            [](const Question& a, const Question& b) { return a.ask.prompt < b.ask.prompt; });
  hash_ = hash_of_prompts(
      questions_, [](const Question& q) -> const auto& { return q.ask.prompt; });
  if (options.texts.empty()) return;
  PerplexityOptions text;
  text.texts = options.texts;
  text.window = options.window > 0 ? options.window : max_length;
  text.windows = options.windows;
  texts_ = make_perplexity_task(tokenizer_, text);
  texts_hash_ = hash_of_prompts(
      texts_->questions, [](const EvalQuestion& q) -> const auto& { return q.prompt; });
}

std::string HeldChecks::text() const {
  std::string out;
  if (questions() > 0) out = fmt::format("{} questions about held needles", questions());
  if (texts_) out += fmt::format("{}the loss on {} windows of held text", out.empty() ? "" : " and ", texts_->questions.size());
  return out;
}

SessionOptions HeldChecks::session_options(DType compute) const {
  SessionOptions session;
  session.compute = compute;
  for (const Question& question : questions_)
    session.capacity = std::max(session.capacity, std::ssize(question.ask.prompt) + options_.max_new_tokens);
  if (texts_) session.capacity = std::max(session.capacity, texts_->tokens_needed());
  return session;
}

std::vector<PlannedBuffer> HeldChecks::buffers(Device& device, const ModelConfig& config, const LoraConfig& lora,
                                               DType compute) const {
  auto rows = Session::buffers(device, config, &lora, session_options(compute));
  for (PlannedBuffer& row : rows) row.name = "held checks: " + row.name;
  return rows;
}

void HeldChecks::open(LoadedModel& loaded) {
  session_ = std::make_unique<Session>(*loaded.device, loaded.model, loaded.adapter_or_null(), session_options(loaded.compute));
}

void HeldChecks::restore(const std::string& out, Console& console) {
  const std::string path = (fs::path(out) / "metrics.jsonl").string();
  if (!fs::exists(path)) return;
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string at = fmt::format("{}:{}", path, number);
    const auto loss = line.find("held_loss");
    if (loss != line.end()) {
      if (!loss->is_object()) throw_input("{}: held_loss: expected an object, got {}", at, loss->type_name());
      if (json_string(*loss, "grid", at + ": held_loss") != texts_hash_) {
        throw_input(
            "{}: the run's checks read other text; use the same --held-text, --held-window and --held-windows, or another --out",
            at);
      }
      last_step_ = json_int(line, "step", at);
    }
    const auto held = line.find("held");
    if (held == line.end()) return;
    const std::string where = at + ": held";
    if (!held->is_object()) throw_input("{}: expected an object, got {}", where, held->type_name());
    if (json_string(*held, "grid", where) != hash_) {
      throw_input(
          "{}: the run's checks asked other questions; use the same --held-needles, --held-haystack, --held-lengths and "
          "--held-depths, or another --out",
          where);
    }
    last_step_ = json_int(line, "step", where);
    history_.add(last_step_, json_int(*held, "hits", where), json_int(*held, "total", where));
  });
  if (history_.best_step() == 0) return;
  // The run may have been killed between keeping an adapter and saving the checkpoint that goes with it.
  const fs::path note = fs::path(out) / kBestFolder / kBestNote;
  const bool there = fs::exists(note);
  if (there && json_int(parse_json(read_text_file(note.string()), note.string()), "step", note.string()) == history_.best_step())
    return;
  console.note(fmt::format("the adapter of step {}, the best so far, is not in {}: the next check takes its place",
                           history_.best_step(), note.parent_path().string()));
  history_.forget_best();
}

std::optional<StepCheck> HeldChecks::check(int64_t step, const LoadedModel& loaded, const TrainOptions& train, Console& console,
                                           const std::function<bool()>& should_stop) {
  if (!is_due(step)) return std::nullopt;
  TENFOLD_CHECK(session_ != nullptr, "held checks without a session");
  session_->forget();  // the adapter has learnt since
  Json line = {{"step", step}};
  if (texts_ && !measure_loss(step, line, console, should_stop)) return StepCheck{"", false, true};
  if (!questions_.empty() && !look_for_needles(step, line, console, should_stop)) return StepCheck{"", false, true};
  last_step_ = step;
  // The checkpoint is saved with the best adapter, so that one never speaks of the other's future.
  const bool best = !questions_.empty() && history_.best_step() == step;
  if (best) save_best(step, history_.best_hits(), loaded, train);
  return StepCheck{dump_json(line), best, false};
}

bool HeldChecks::measure_loss(int64_t step, Json& line, Console& console, const std::function<bool()>& should_stop) {
  const Stopwatch watch;
  SessionModel model(*session_);
  const PerplexityResult result = run_perplexity(model, *texts_, {}, {{}, should_stop});
  if (result.run.interrupted) return false;
  const Json& buckets = result.metrics.at("by_position");
  std::string text;
  for (const Json& bucket : buckets)
    text += fmt::format("{}{}: {:.4f}", text.empty() ? "" : ", ", bucket["positions"].get<std::string>(),
                        bucket["nll"].get<double>());
  console.note(fmt::format("step {}: loss on held text {:.4f} ({}), {:.1f} s", step, result.nll, text, watch.seconds()));
  line["held_loss"] = {{"grid", texts_hash_},
                       {"nll", result.nll},
                       {"tokens", result.tokens},
                       {"seconds", watch.seconds()},
                       {"by_position", buckets}};
  return true;
}

bool HeldChecks::look_for_needles(int64_t step, Json& line, Console& console, const std::function<bool()>& should_stop) {
  const Stopwatch watch;
  SessionModel model(*session_);
  const Decoding decoding = {options_.max_new_tokens, stop_ids_, clean_up_};
  std::map<int64_t, std::pair<int64_t, int64_t>> by_length;  // hits, questions
  int64_t hits = 0;
  Json cells = Json::array();
  for (const Question& question : questions_) {
    if (should_stop && should_stop()) return false;
    EvalTiming timing;
    const Json answer = generated_answer(model, tokenizer_, question.ask, decoding, timing);
    const bool hit = holds_answer(answer["output"].get<std::string>(), question.answer);
    hits += hit ? 1 : 0;
    auto& [found, asked] = by_length[question.length];
    found += hit ? 1 : 0;
    ++asked;
    cells.push_back({{"needle", question.needle},
                     {"length", question.length},
                     {"depth", question.depth},
                     {"hit", hit},
                     {"output", answer["output"]}});
  }
  history_.add(step, hits, questions());
  const bool best = history_.best_step() == step;
  Json lengths = Json::array();
  std::string text;
  for (const auto& [length, count] : by_length) {
    lengths.push_back({{"length", length}, {"hits", count.first}, {"total", count.second}});
    text += fmt::format("{}{}: {}/{}", text.empty() ? "" : ", ", length, count.first, count.second);
  }
  const double seconds = watch.seconds();
  console.note(fmt::format("step {}: {} of {} held needles ({}){}, {:.1f} s", step, hits, questions(), text,
                           best ? ", the best so far" : "", seconds));
  line["held"] = {{"grid", hash_},      {"hits", hits},         {"total", questions()}, {"best", best},
                  {"seconds", seconds}, {"by_length", lengths}, {"cells", cells}};
  return true;
}

void HeldChecks::save_best(int64_t step, int64_t hits, const LoadedModel& loaded, const TrainOptions& train) const {
  const fs::path folder = fs::path(train.out) / kBestFolder;
  const fs::path fresh = folder.string() + ".new";
  std::error_code ignored;
  fs::remove_all(fresh, ignored);
  loaded.adapter->save(fresh.string(), loaded.model, train.chat_template, train.adapter_dtype);
  write_file_atomically((fresh / kBestNote).string(),
                        dump_json({{"step", step}, {"hits", hits}, {"total", questions()}}, 2) + "\n");
  move_folder(fresh, folder);
}

void HeldChecks::keep_best(const std::string& out) const {
  const fs::path fresh = fs::path(out) / "adapter.new";
  std::error_code error;
  fs::remove_all(fresh, error);
  fs::copy(fs::path(out) / kBestFolder, fresh, fs::copy_options::recursive, error);
  if (error) throw_io("{} cannot be copied: {}", (fs::path(out) / kBestFolder).string(), error.message());
  move_folder(fresh, fs::path(out) / "adapter");
}

}  // namespace tenfold::cli
