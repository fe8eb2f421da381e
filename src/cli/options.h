#pragma once

#include "cli/values.h"

#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold::cli {

/// One option of a verb: its texts and how the words given for it become its value.
struct Option {
  std::string name;     ///< kebab-case without dashes
  std::string metavar;  ///< such as PATH; empty for a switch
  std::string help;
  std::string group;
  bool many = false;  ///< takes every word up to the next option
  bool required = false;
  bool positional = false;
  std::function<void(std::span<const std::string>)> read;
  std::function<std::string()> toml;  ///< the value now; "" when not set

  std::vector<std::string> words;  ///< as given, filled by the parser
  std::string origin;              ///< "--name" or "recipe.toml:12"
  bool given() const { return !origin.empty(); }
  bool is_switch() const { return metavar.empty(); }
};

/// The options of one verb, bound to the variables that they set; those variables outlive the table.
class OptionTable {
 public:
  /// Options that follow are listed in the help under this title.
  void group(std::string title) { group_ = std::move(title); }

  template <typename T>
  Option& add(std::string name, T& target, std::string metavar, std::string help) {
    Option& option = options_.emplace_back();
    option.name = std::move(name);
    option.metavar = std::move(metavar);
    option.help = std::move(help);
    option.group = group_;
    option.read = [&target](std::span<const std::string> words) { read_words(words, target); };
    option.toml = [&target] { return toml_text(target); };
    return option;
  }
  template <typename T>
  Option& add_many(std::string name, T& target, std::string metavar, std::string help) {
    Option& option = add(std::move(name), target, std::move(metavar), std::move(help));
    option.many = true;
    return option;
  }
  Option& add_switch(std::string name, bool& target, std::string help) {
    return add(std::move(name), target, "", std::move(help));
  }
  Option& add_positional(std::string name, std::vector<std::string>& target, std::string metavar, std::string help) {
    Option& option = add_many(std::move(name), target, std::move(metavar), std::move(help));
    option.positional = true;
    return option;
  }

  Option* find(std::string_view name);
  const Option* find(std::string_view name) const { return const_cast<OptionTable*>(this)->find(name); }
  bool given(std::string_view name) const;
  std::deque<Option>& all() { return options_; }
  const std::deque<Option>& all() const { return options_; }

  /// "; near names: ..." for an unknown option name, each shown after `prefix`.
  std::string near(std::string_view name, std::string_view prefix) const;
  /// Every option of a run's configuration that has a value, with that value as TOML writes it.
  std::vector<std::pair<std::string, std::string>> resolved_values() const;
  /// The same as `name = value` lines.
  std::string resolved() const;

 private:
  std::deque<Option> options_;  // deque: references stay valid
  std::string group_ = "Options";
};

/// The published recipe's spelling of an option as ours: dashes for underscores, aliases resolved. Without leading dashes.
std::string canonical_name(std::string_view name);
/// Whether a (canonical) option of the published recipe has no meaning here; it is accepted and said so.
bool is_ignored_option(std::string_view name);

/// Puts the words of a command line into the table: aliases, underscores, `--name=value`, `--no-switch`, lists. Faults are added
/// to `errors` (one line each), remarks about options without meaning to `notes`. Returns whether help was asked for.
bool read_command_line(std::span<const std::string> words, OptionTable& table, std::vector<std::string>& errors,
                       std::vector<std::string>& notes);

/// Reads a flat TOML recipe (keys = option names) into options that the command line did not give; faults are added with file and
/// line.
void read_recipe(const std::string& path, OptionTable& table, std::vector<std::string>& errors, std::vector<std::string>& notes);

/// Turns the words of every given option into its value and looks for missing required ones; faults are added to `errors`.
void read_values(OptionTable& table, std::vector<std::string>& errors);

/// The help page of a verb.
std::string help_text(const OptionTable& table, const std::string& verb, const std::string& description,
                      const std::string& examples);

}  // namespace tenfold::cli
