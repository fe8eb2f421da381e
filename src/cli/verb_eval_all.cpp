// eval all: every evaluation that there is data for, or those that a file lists.
#include "cli/model_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// The words of one evaluation, or why it is left out.
struct Planned {
  std::string verb;
  Words words;
  std::string missing;
  std::string name = verb;  ///< the task's, in the summary
};

/// In the order in which they run.
constexpr std::array<std::string_view, 12> kNames = {"needle",   "passkey", "topic",  "mmlu",     "longbench", "longbench2",
                                                     "infbench", "ruler",   "latent", "manyshot", "ppl",       "generation"};

class EvalAllVerb final : public Verb {
 public:
  std::string name() const override { return "eval all"; }
  std::string summary() const override {
    return "Every evaluation that there is data for, or that a file lists, one after another, into one run directory";
  }
  std::string examples() const override {
    return "  tenfold eval all --model M --data evaluations/ --max-length 32K --out runs/base\n"
           "  tenfold eval all --model M --data evaluations/ --max-length 4K --first 5 --only needle,mmlu,longbench --out "
           "runs/quick\n"
           "  tenfold eval all --model M --data evaluations/ --dry-run\n"
           "  tenfold eval all --model M --adapter runs/mine/adapter --suite suite.txt --out runs/mine\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Evaluations");
    table.add("data", data_, "DIR",
              "Folder with any of needle/ or books/ (texts), longeval/ or topics/ (topic_retrieval.json), mmlu/ (test.json), "
              "longbench/, longbench2/ (data.json), infbench/, lm/ (*.jsonl of texts), generation/ (*.jsonl)");
    table.add("suite", suite_, "FILE",
              "Instead of --data: an evaluation a line, as after `tenfold eval`, such as: needle --haystack texts/ --lengths 8K "
              "--task needle-8k; blank lines and those that begin with # are passed over");
    table.add_many("only", only_, "NAME...", fmt::format("These alone: {}", fmt::join(kNames, " ")));
    table.add("max-length", max_length_, "N", "Tokens that a prompt may take, where an evaluation can be made shorter");
    table.add("first", first_, "N", "Only so many records of each task, samples of RULER and windows of text; 0: as each has it");
    table.add("out", out_, "DIR", "Run directory of them all");
    table.add_switch("strict-reference", strict_, "Bug-compatible with the published evaluation (docs/guide.md)");
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (data_.empty() == suite_.empty()) errors.push_back("expected one of --data DIR and --suite FILE");
    for (const char* option : {"only", "max-length", "first", "strict-reference"}) {
      if (!suite_.empty() && table.find(option)->given())
        errors.push_back(fmt::format("--{}: belongs to --data; a line of --suite says it for itself", option));
    }
    if (max_length_ < 512) errors.push_back(fmt::format("--max-length: expected 512 or more, got {}", max_length_));
    if (first_ < 0) errors.push_back(fmt::format("--first: expected 0 or more, got {}", first_));
    for (const std::string& name : only_) {
      if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) {
        errors.push_back(fmt::format("--only: expected some of {}, got {}", fmt::join(kNames, " "), name));
      }
    }
  }

  int run(Context& context) override {
    const std::vector<Planned> planned_all = suite_.empty() ? plan() : read_suite();
    const Words common = common_words(context.options);
    std::unique_ptr<LoadedModel> model;  // read by the first evaluation that asks it
    Json ran = Json::object();
    int worst = 0;
    for (const Planned& planned : planned_all) {
      if (!only_.empty() && std::find(only_.begin(), only_.end(), planned.verb) == only_.end()) continue;
      if (!planned.missing.empty()) {
        context.console.note(fmt::format("eval {}: left out: {}", planned.name, planned.missing));
        ran[planned.name] = "no data";
        continue;
      }
      Words words = {"eval", planned.verb};
      words.insert(words.end(), planned.words.begin(), planned.words.end());
      words.insert(words.end(), common.begin(), common.end());
      std::string command = "tenfold";
      for (const std::string& word : words) command += fmt::format(" {}", shell_quoted(word));
      context.console.line(command);
      if (context.common.dry_run) continue;
      const int code = run_one(words, context, model);
      ran[planned.name] = code;
      if (code >= 128) {  // stopped: what follows waits for the next time
        context.summary["ran"] = ran;
        return code;
      }
      worst = std::max(worst, code);
    }
    context.summary["ran"] = ran;
    context.summary["out"] = out_;
    return worst;
  }

 private:
  /// One evaluation. What is wrong with its data is said, and the others run.
  static int run_one(const Words& words, Context& context, std::unique_ptr<LoadedModel>& model) {
    try {
      return run_program(words, context.console, context.stop, &model);
    } catch (const InputError& error) {
      context.console.note(fmt::format("error: {}", error.what()));
      return 2;
    }
  }

  /// The model's and the machine's options as they were given.
  Words common_words(const OptionTable& table) const {
    static const std::set<std::string> own = {"data",   "suite",   "only", "max-length",       "first",
                                              "config", "dry-run", "json", "strict-reference", "out"};
    Words words = {"--out", out_};
    for (const Option& option : table.all()) {
      if (!option.given() || own.contains(option.name)) continue;
      words.push_back(fmt::format("--{}", option.name));
      if (option.is_switch()) {
        words.back() = fmt::format("--{}={}", option.name, option.words.back());
      } else {
        words.insert(words.end(), option.words.begin(), option.words.end());
      }
    }
    return words;
  }

  std::optional<std::string> first_of(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (const fs::path path = fs::path(data_) / name; fs::exists(path)) return path.string();
    }
    return std::nullopt;
  }

  /// Files of a folder with an extension, by name; `beginning` of the name where it is not empty.
  Words files_in(const char* folder, const std::string& beginning, std::initializer_list<const char*> extensions) const {
    Words files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(data_) / folder, error)) {
      const std::string extension = entry.path().extension().string();
      const bool kind = std::any_of(extensions.begin(), extensions.end(), [&](const char* e) { return extension == e; });
      if (entry.is_regular_file() && kind && entry.path().filename().string().starts_with(beginning)) {
        files.push_back(entry.path().string());
      }
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  /// Every line of the suite is read before anything runs.
  std::vector<Planned> read_suite() const {
    std::vector<Planned> plan;
    std::set<std::string> tasks;
    const std::string text = read_text_file(suite_);
    int64_t number = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string where = fmt::format("--suite {}:{}", suite_, ++number);
      Words words = shell_words(std::string_view(text).substr(at, end - at), where);
      at = end + 1;
      if (words.empty() || words.front().starts_with('#')) continue;
      Planned planned{.verb = words.front(), .words = Words(words.begin() + 1, words.end()), .missing = {}};
      if (std::find(kNames.begin(), kNames.end(), planned.verb) == kNames.end())
        throw_input("{}: expected one of {}, got {}", where, fmt::join(kNames, " "), planned.verb);
      const auto task = std::find(planned.words.begin(), planned.words.end(), "--task");
      if (task != planned.words.end() && task + 1 != planned.words.end()) planned.name = task[1];
      if (!tasks.insert(planned.name).second)
        throw_input("{}: a line before it goes to eval/{}, too; give one of them another --task", where, planned.name);
      plan.push_back(std::move(planned));
    }
    if (plan.empty()) throw_input("--suite {}: no line names an evaluation", suite_);
    return plan;
  }

  std::vector<Planned> plan() const {
    if (!fs::is_directory(data_)) throw_input("--data {}: expected a folder", data_);
    const std::string longest = std::to_string(max_length_);
    const std::string first = std::to_string(first_);
    const auto with_first = [&](Words words, const char* option) {
      if (first_ > 0) words.insert(words.end(), {option, first});
      return words;
    };
    const auto strict = [&](Words words) {
      if (strict_) words.emplace_back("--strict-reference");
      return words;
    };
    const Words grid = {"--min-length", std::to_string(std::max<int64_t>(512, max_length_ / 8)), "--max-length", longest};
    const auto joined = [](Words a, const Words& b) {
      a.insert(a.end(), b.begin(), b.end());
      return a;
    };
    std::vector<Planned> plan;
    const auto haystack = first_of({"needle/PaulGrahamEssays", "needle", "books"});
    const std::string no_text = "no needle/ or books/ in --data";
    plan.push_back({"needle", haystack ? strict(joined({"--haystack", *haystack}, grid)) : Words(), haystack ? "" : no_text});
    plan.push_back({"passkey", strict(grid), ""});
    const auto topics = first_of({"longeval/topic_retrieval.json", "topics/topic_retrieval.json"});
    plan.push_back(
        {"topic", topics ? strict({"--data", *topics}) : Words(), topics ? "" : "no longeval/ or topics/topic_retrieval.json"});
    const Words mmlu = files_in("mmlu", "test", {".json", ".jsonl"});
    plan.push_back({"mmlu", mmlu.size() == 1 ? strict({"--data", mmlu[0]}) : Words(),
                    mmlu.size() == 1 ? "" : fmt::format("expected one mmlu/test*.json, got {}", mmlu.size())});
    const auto benchmark = [&](const char* name) {
      const Words files = files_in(name, "", {".jsonl"});
      Words words = joined({"--max-length", longest, "--data"}, files);
      plan.push_back(
          {name, strict(with_first(std::move(words), "--first")), files.empty() ? fmt::format("no {}/TASK.jsonl", name) : ""});
    };
    benchmark("longbench");
    const Words second = files_in("longbench2", "", {".json", ".jsonl"});
    plan.push_back({"longbench2",
                    second.size() == 1 ? with_first({"--max-length", longest, "--data", second[0]}, "--first") : Words(),
                    second.size() == 1 ? "" : fmt::format("expected one file in longbench2/, got {}", second.size())});
    benchmark("infbench");
    std::string lengths;
    for (int64_t length = 4096; length <= max_length_; length *= 2)
      lengths += fmt::format("{}{}", lengths.empty() ? "" : ",", length);
    if (lengths.empty()) lengths = longest;
    plan.push_back({"ruler", haystack ? with_first({"--haystack", *haystack, "--lengths", lengths}, "--samples") : Words(),
                    haystack ? "" : no_text});
    // Needles that a model cannot match by their words are asked for at a short length, too, which says what it knows.
    const std::string with_short = lengths.starts_with("4096") ? "1024," + lengths : lengths;
    plan.push_back(
        {"latent",
         haystack ? with_first({"--haystack", *haystack, "--lengths", with_short, "--depths", "10,50,90"}, "--pairs") : Words(),
         haystack ? "" : no_text});
    plan.push_back({"manyshot", with_first({"--lengths", lengths}, "--queries"), ""});
    const Words texts = files_in("lm", "", {".json", ".jsonl", ".txt"});
    Words text = joined({"--window", longest, "--text"}, texts);
    if (texts.empty() && haystack) text.push_back(*haystack);
    plan.push_back(
        {"ppl", strict(with_first(std::move(text), "--windows")), texts.empty() && !haystack ? "no lm/, needle/ or books/" : ""});
    const Words talks = files_in("generation", "", {".json", ".jsonl"});
    plan.push_back({"generation", talks.size() == 1 ? strict(with_first({"--data", talks[0]}, "--max-num")) : Words(),
                    talks.size() == 1 ? "" : fmt::format("expected one file in generation/, got {}", talks.size())});
    return plan;
  }

  ModelOptions model_;
  std::string data_;
  std::string suite_;
  Words only_;
  int64_t max_length_ = 32768;
  int64_t first_ = 0;
  std::string out_ = "runs/eval";
  bool strict_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_eval_all_verb() { return std::make_unique<EvalAllVerb>(); }

}  // namespace tenfold::cli
