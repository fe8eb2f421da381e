#include "cli/verb.h"
#include "core/error.h"
#include "core/stopwatch.h"
#include "device/device.h"
#include "format/names.h"
#include "ops/cpu_features.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <utility>

namespace tenfold::cli {
namespace {

/// Log records of the other rooms as notes, so that they do not tear the progress bar.
class ConsoleSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ConsoleSink(Console& console) : console_(console) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text(message.payload.data(), message.payload.size());
    console_.note(message.level >= spdlog::level::warn ? "warning: " + text : text);
  }
  void flush_() override {}

 private:
  Console& console_;
};

void declare_common(OptionTable& table, CommonOptions& common) {
  table.group("Common");
  table.add("config", common.config, "FILE", "Recipe: flat TOML whose keys are option names; options on the command line win");
  table.add("device", common.device, "NAME", "auto, cpu or cuda[:i]");
  table.add("gpus", common.gpus, "N", "GPUs to work on (CUDA builds)");
  table.add("threads", common.threads, "N", "Compute threads; 0: every core this process may use");
  table.add("seed", common.seed, "N", "Seed of everything random");
  table.add("host-memory", common.host_memory, "SIZE",
            "Most host memory to plan for; 0: what the machine or its control group allows");
  table.add("gpu-memory", common.gpu_memory, "SIZE", "Most GPU memory to plan for (CUDA builds)");
  table.add("pinned-memory", common.pinned_memory, "SIZE",
            "Of the host memory, the most to page-lock beside a GPU; 0: all of --host-memory");
  table.add_switch("dry-run", common.dry_run, "Print the resolved configuration and the memory plan, then stop");
  table.add_switch("json", common.json, "Print one machine-readable summary line last");
}

void check_common(const CommonOptions& common, std::vector<std::string>& errors) {
  if (common.device != "auto" && common.device != "cpu" && common.device != "cuda" && !common.device.starts_with("cuda:")) {
    errors.push_back(fmt::format("--device: expected auto, cpu or cuda[:i], got {}", shown(common.device)));
  }
  if (common.threads < 0) errors.push_back(fmt::format("--threads: expected 0 or more, got {}", common.threads));
  if (common.seed < 0) errors.push_back(fmt::format("--seed: expected 0 or more, got {}", common.seed));
}

std::string main_page(const std::vector<std::unique_ptr<Verb>>& verbs) {
  std::string text =
      "tenfold gives a language model ten times its context, and proves that it works.\n\n"
      "Usage: tenfold VERB [options]\n\nVerbs:\n";
  for (const auto& verb : verbs) text += fmt::format("  {:<16} {}\n", verb->name(), verb->summary());
  text +=
      "\ntenfold VERB --help lists a verb's options with examples. --config recipe.toml sets any of them from a file;\n"
      "the names of the published recipe (--model_name_or_path, --lora, ...) work as they are written there.\n"
      "\nExit codes: 0 done, 2 wrong input or option, 3 device or memory, 4 disk, 130 or 143 stopped by a signal after saving.\n";
  return text;
}

std::string version_text() {
  return fmt::format("tenfold {} (CPU {}; compute {}; {})\n", TENFOLD_VERSION, ops::name_of(ops::cpu_isa()),
                     name_of(ops::default_compute_dtype()), has_cuda_library() ? "with CUDA" : "built without CUDA");
}

/// The verb that the first words name ("eval needle" before "eval"), and how many words that took.
std::pair<Verb*, size_t> find_verb(const std::vector<std::unique_ptr<Verb>>& verbs, const std::vector<std::string>& words) {
  for (const size_t length : {size_t{2}, size_t{1}}) {
    if (words.size() < length) continue;
    const std::string name = length == 2 ? fmt::format("{} {}", words[0], words[1]) : words[0];
    for (const auto& verb : verbs) {
      if (verb->name() == name) return {verb.get(), length};
    }
  }
  return {nullptr, 0};
}

/// "eval" or "data" alone: what there is below it; else the nearest verbs.
[[noreturn]] void unknown_verb(const std::vector<std::unique_ptr<Verb>>& verbs, const std::vector<std::string>& words) {
  std::string below;
  for (const auto& verb : verbs) {
    if (verb->name().starts_with(words[0] + " ")) below += (below.empty() ? "" : ", ") + verb->name().substr(words[0].size() + 1);
  }
  if (!below.empty()) {
    const bool named = words.size() > 1 && !words[1].starts_with("-");
    throw_input("tenfold {}: {} one of {}", words[0], named ? shown(words[1]) + " is not known; expected" : "expected", below);
  }
  throw_input("{} is not a verb{}\nSee tenfold --help.", shown(words[0]),
              near_names(words[0], [&](const std::function<void(std::string_view)>& each) {
                for (const auto& verb : verbs) each(verb->name());
              }));
}

void print_summary(Context& context, double seconds) {
  Json line;
  line["verb"] = context.verb;
  line["version"] = TENFOLD_VERSION;
  line["device"] = "cpu";
  for (const auto& [key, value] : context.summary.items()) line[key] = value;
  line["seconds"] = seconds;
  context.console.line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// Fills the table from command line and recipe; throws one InputError that holds every fault. Returns whether help was asked
/// for.
bool resolve(Verb& verb, OptionTable& table, CommonOptions& common, std::span<const std::string> words, Console& console) {
  std::vector<std::string> errors;
  std::vector<std::string> notes;
  if (read_command_line(words, table, errors, notes)) return true;
  const Option* config = table.find("config");
  if (config->given()) read_recipe(config->words.back(), table, errors, notes);
  read_values(table, errors);
  for (const std::string& note : notes) console.note(note);
  check_common(common, errors);
  if (errors.empty()) verb.check(table, errors);
  if (errors.empty()) return false;
  std::string text = errors.size() == 1 ? "" : fmt::format("{} problems with the options", errors.size());
  for (const std::string& error : errors) text += (errors.size() == 1 ? "" : "\n  ") + error;
  throw_input("{}\nSee tenfold {} --help.", text, verb.name());
}

}  // namespace

std::string shell_quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-_./=:,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::vector<std::string> shell_words(std::string_view line, std::string_view where) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\r')) {
      in_word = false;
      continue;
    }
    if (!std::exchange(in_word, true)) words.emplace_back();
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) throw_input("{}: a {} is not closed", where, quote);
  return words;
}

int run_program(const std::vector<std::string>& words, Console& console, const StopSignal& stop,
                std::unique_ptr<LoadedModel>* kept_model) {
  const Stopwatch watch;
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("tenfold", std::make_shared<ConsoleSink>(console)));
  const auto verbs = make_verbs();
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    console.print(main_page(verbs));
    return words.empty() ? 2 : 0;
  }
  if (words[0] == "--version") {
    console.print(version_text());
    return 0;
  }
  const auto [verb, length] = find_verb(verbs, words);
  if (verb == nullptr) unknown_verb(verbs, words);

  CommonOptions common;
  OptionTable table;
  verb->declare(table);
  declare_common(table, common);
  if (std::find_if(words.begin(), words.end(), [](const std::string& w) { return w == "--help" || w == "-h"; }) != words.end()) {
    console.print(help_text(table, verb->name(), verb->summary(), verb->examples()));
    return 0;
  }
  resolve(*verb, table, common, std::span(words).subspan(length), console);
  std::string command = "tenfold";
  for (const std::string& word : words) command += fmt::format(" {}", shell_quoted(word));
  Context context{console, stop, common, table, verb->name(), command, Json::object(), kept_model};
  if (common.dry_run) console.print(fmt::format("# {}\n{}", context.command_line, table.resolved()));
  const int code = verb->run(context);
  if (common.json) print_summary(context, watch.seconds());
  return code;
}

}  // namespace tenfold::cli
