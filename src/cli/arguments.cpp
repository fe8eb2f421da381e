// argv as people write it (underscores, the published recipe's names, = or a space, lists) into what CLI11 reads without
// surprises.
#include "cli/options.h"

#include "core/error.h"
#include "format/names.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tenfold::cli {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Names of the published recipe and of the trainers people come from; both sides in kebab-case.
constexpr std::array kAliases = {
    Pair{"model-name-or-path", "model"},
    Pair{"base-model", "model"},
    Pair{"lora", "adapter"},
    Pair{"train-data", "data"},
    Pair{"eval-data", "data"},
    Pair{"load-in-4-bit", "load-in-4bit"},
    Pair{"num-train-epochs", "epochs"},
    Pair{"max-steps", "steps"},
    Pair{"output-dir", "out"},
    Pair{"result-dir", "out"},
    Pair{"num-length-interval", "num-lengths"},
    Pair{"num-depth-interval", "num-depths"},
    Pair{"test-length", "lengths"},
    Pair{"test-depth", "depths"},
    Pair{"haystack-path", "haystack"},
    Pair{"per-device-train-batch-size", "batch"},
    Pair{"train-batch-size", "batch"},
    Pair{"batch-size", "batch"},
    Pair{"gradient-accumulation-steps", "accumulation"},
    Pair{"lr-scheduler-type", "schedule"},
    Pair{"lr", "learning-rate"},
    Pair{"save-steps", "checkpoint-every"},
    Pair{"lora-targets-modules", "lora-targets"},
    Pair{"target-modules", "lora-targets"},
    Pair{"use-rslora", "rslora"},
    Pair{"adam-beta1", "beta1"},
    Pair{"adam-beta2", "beta2"},
    Pair{"adam-epsilon", "eps"},
    Pair{"resume-from-checkpoint", "resume"},
    Pair{"max-seq-length", "max-length"},
    Pair{"num-threads", "threads"},
    Pair{"rope-method", "rope-type"},
    Pair{"enable-tp", "gpus-for-one-model"},
};

constexpr std::array<std::string_view, 34> kIgnored = {"attn-impl",
                                                       "use-reentrant",
                                                       "gradient-checkpointing",
                                                       "bf16",
                                                       "fp16",
                                                       "tf32",
                                                       "low-cpu-mem-usage",
                                                       "device-map",
                                                       "gpus-for-one-model",
                                                       "lora-tune",
                                                       "save-only-model",
                                                       "save-strategy",
                                                       "logging-steps",
                                                       "ddp-find-unused-parameters",
                                                       "ddp-timeout",
                                                       "report-to",
                                                       "log-level",
                                                       "deepspeed",
                                                       "fsdp",
                                                       "use-flash-attention-2",
                                                       "remove-unused-columns",
                                                       "overwrite-output-dir",
                                                       "do-train",
                                                       "do-eval",
                                                       "dataloader-num-workers",
                                                       "dataloader-pin-memory",
                                                       "dataloader-prefetch-factor",
                                                       "model-cache-dir",
                                                       "dataset-cache-dir",
                                                       "access-token",
                                                       "trust-remote-code",
                                                       "torch-compile",
                                                       "optim",
                                                       "padding-side"};

bool looks_like_option(std::string_view word) {
  return word.size() > 2 && word.starts_with("--") && std::isalpha(static_cast<unsigned char>(word[2])) != 0;
}

/// The option that a word names, "--no-" stripped.
struct Named {
  std::string name;
  std::optional<std::string> value;  ///< after '='
  bool negated = false;
};

Named split_option(std::string_view word, const OptionTable& table) {
  Named named;
  word.remove_prefix(2);
  const size_t equals = word.find('=');
  if (equals != std::string_view::npos) named.value = std::string(word.substr(equals + 1));
  named.name = canonical_name(word.substr(0, equals));
  if (table.find(named.name) == nullptr && named.name.starts_with("no-")) {
    const Option* positive = table.find(named.name.substr(3));
    if (positive != nullptr && positive->is_switch()) {
      named.name = positive->name;
      named.negated = true;
    }
  }
  return named;
}

/// Rewrites words to pairs `--name value`, so that no value can be taken for an option and the parser stops at no first fault.
class Normaliser {
 public:
  Normaliser(std::span<const std::string> words, OptionTable& table, std::vector<std::string>& errors,
             std::vector<std::string>& notes)
      : words_(words), table_(table), errors_(errors), notes_(notes) {}

  std::vector<std::string> run() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      if (word == "-h" || word == "--help") {
        help = true;
      } else if (word == "--") {
        while (at_ < words_.size()) positional(words_[at_++]);
      } else if (looks_like_option(word)) {
        option(word);
      } else {
        positional(word);
      }
    }
    return std::move(out_);
  }
  bool help = false;

 private:
  bool next_is_value() const {
    return at_ < words_.size() && !(looks_like_option(words_[at_]) && known(words_[at_])) && words_[at_] != "--";
  }
  bool known(const std::string& word) const {
    const Named named = split_option(word, table_);
    return table_.find(named.name) != nullptr || is_ignored_option(named.name) || named.name == "help";
  }
  void emit(const std::string& name, std::string value) {
    out_.push_back("--" + name);
    out_.push_back(std::move(value));
  }

  void option(const std::string& word) {
    const Named named = split_option(word, table_);
    const Option* option = table_.find(named.name);
    if (option == nullptr || option->positional) return unknown(word, named);
    if (option->is_switch()) return switch_option(named);
    if (named.value) {
      emit(named.name, *named.value);
      if (!option->many) return;
    } else if (!next_is_value()) {
      errors_.push_back(fmt::format("--{}: a value is missing ({})", named.name, option->metavar));
      return;
    } else {
      emit(named.name, words_[at_++]);
    }
    while (option->many && next_is_value() && !looks_like_option(words_[at_])) emit(named.name, words_[at_++]);
  }

  void switch_option(const Named& named) {
    std::string value = "true";
    if (named.value) {
      value = *named.value;
    } else if (at_ < words_.size() && parse_switch(words_[at_])) {
      value = words_[at_++];  // the published recipe writes --use_reentrant True
    }
    if (named.negated) value = parse_switch(value).value_or(true) ? "false" : "true";
    emit(named.name, value);
  }

  void unknown(const std::string& word, const Named& named) {
    if (is_ignored_option(named.name)) {
      if (!named.value && next_is_value() && !looks_like_option(words_[at_])) ++at_;
      notes_.push_back(fmt::format("{} has no meaning in tenfold and is ignored", word.substr(0, word.find('='))));
      return;
    }
    errors_.push_back(fmt::format("{}: unknown option{}", word.substr(0, word.find('=')), table_.near(named.name, "--")));
    // Its values go with it, or each would be one more complaint.
    while (!named.value && at_ < words_.size() && !looks_like_option(words_[at_])) ++at_;
  }

  void positional(const std::string& word) {
    const auto& all = table_.all();
    const auto slot = std::find_if(all.begin(), all.end(), [](const Option& option) { return option.positional; });
    if (slot == all.end()) {
      errors_.push_back(fmt::format("{}: unexpected; options begin with --", shown(word)));
    } else {
      emit(slot->name, word);
    }
  }

  std::span<const std::string> words_;
  OptionTable& table_;
  std::vector<std::string>& errors_;
  std::vector<std::string>& notes_;
  std::vector<std::string> out_;
  size_t at_ = 0;
};

/// A default as people read it: a TOML value without quotes and brackets.
std::string plain(std::string value) {
  std::erase_if(value, [](char c) { return c == '"' || c == '[' || c == ']'; });
  return value;
}

}  // namespace

std::string canonical_name(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  for (const auto& [from, to] : kAliases) {
    if (out == from) return std::string(to);
  }
  return out;
}

bool is_ignored_option(std::string_view name) { return std::find(kIgnored.begin(), kIgnored.end(), name) != kIgnored.end(); }

bool read_command_line(std::span<const std::string> words, OptionTable& table, std::vector<std::string>& errors,
                       std::vector<std::string>& notes) {
  Normaliser normaliser(words, table, errors, notes);
  std::vector<std::string> arguments = normaliser.run();
  CLI::App app;
  app.set_help_flag();
  for (Option& option : table.all()) {
    app.add_option("--" + option.name, option.words)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes its vector from the back
  try {
    app.parse(arguments);
  } catch (const CLI::Error& error) {
    errors.push_back(error.what());
  }
  for (Option& option : table.all()) {
    if (!option.words.empty()) option.origin = option.positional ? option.metavar : "--" + option.name;
  }
  return normaliser.help;
}

std::string help_text(const OptionTable& table, const std::string& verb, const std::string& description,
                      const std::string& examples) {
  CLI::App app(description, "tenfold " + verb);
  app.set_help_flag("-h,--help", "This page");
  std::vector<std::string> ignored;
  std::string usage_of_positional;
  for (const Option& option : table.all()) {
    if (option.positional) usage_of_positional = fmt::format(" {}", option.metavar);
    std::string help = option.help;
    const std::string value = option.is_switch() ? "" : plain(option.toml());
    if (!value.empty()) help += fmt::format(" [{}]", value);
    if (option.required) help += " (required)";
    if (option.positional) continue;
    auto* entry = app.add_option("--" + option.name, ignored, help)->group(option.group);
    entry->option_text(option.metavar.empty() ? " " : option.metavar);
  }
  app.get_formatter()->column_width(34);
  std::string text = fmt::format("{}\n\nUsage: tenfold {}{} [options]\n\n", description, verb, usage_of_positional);
  const std::string listed = app.help();
  // CLI11 prints description and usage first; ours replace them, since an option here may stand in a recipe, too.
  const size_t first_group = listed.find("\nOptions:");
  size_t begin = listed.find("\n\n", listed.find("Usage:"));
  if (begin == std::string::npos) begin = listed.find('\n', listed.find("Usage:"));
  if (first_group != std::string::npos) begin = std::min(begin, first_group);
  bool blank = true;
  for (size_t at = begin == std::string::npos ? 0 : begin; at < listed.size();) {
    const size_t end = std::min(listed.find('\n', at), listed.size() - 1) + 1;
    const bool empty = end - at <= 1;
    if (!empty || !blank) text += listed.substr(at, end - at);
    blank = empty;
    at = end;
  }
  if (!examples.empty()) text += "\nExamples:\n" + examples;
  return text;
}

}  // namespace tenfold::cli
