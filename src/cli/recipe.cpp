// Recipes: flat TOML whose keys are option names.
#include "cli/options.h"

#include "core/error.h"
#include "format/names.h"

#include <toml++/toml.h>

#include <filesystem>
#include <optional>

namespace tenfold::cli {
namespace {

/// One TOML scalar as the word that a user would have typed, or nothing for a table, a date and the like.
std::optional<std::string> word_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* real = node.as_floating_point()) return fmt::format("{}", real->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return std::nullopt;
}

std::vector<std::string> words_of(const toml::node& node, const std::string& where, std::vector<std::string>& errors) {
  std::vector<std::string> words;
  const auto take = [&](const toml::node& item) {
    const auto word = word_of(item);
    if (word) {
      words.push_back(*word);
    } else {
      errors.push_back(fmt::format("{}: expected a text, a number, true or false, or a list of them; recipes are flat", where));
    }
  };
  if (const auto* list = node.as_array()) {
    for (const toml::node& item : *list) take(item);
  } else {
    take(node);
  }
  return words;
}

}  // namespace

void read_recipe(const std::string& path, OptionTable& table, std::vector<std::string>& errors, std::vector<std::string>& notes) {
  if (!std::filesystem::is_regular_file(path)) {
    errors.push_back(fmt::format("--config: there is no file {}", shown(path)));
    return;
  }
  toml::table recipe;
  try {
    recipe = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    errors.push_back(fmt::format("{}:{}: not TOML: {}", path, error.source().begin.line, error.description()));
    return;
  }
  for (const auto& [key, node] : recipe) {
    const std::string where = fmt::format("{}:{}", path, node.source().begin.line);
    const std::string name = canonical_name(key.str());
    Option* option = table.find(name);
    if (option == nullptr || name == "config") {
      if (is_ignored_option(name)) {
        notes.push_back(fmt::format("{}: {} has no meaning in tenfold and is ignored", where, key.str()));
      } else {
        errors.push_back(fmt::format("{}: unknown key {}{}", where, shown(key.str()), table.near(name, "")));
      }
      continue;
    }
    if (option->given()) continue;  // the command line wins
    const size_t faults = errors.size();
    std::vector<std::string> words = words_of(node, where + ": " + name, errors);
    if (errors.size() != faults) continue;
    if (words.size() > 1 && !option->many) {
      errors.push_back(fmt::format("{}: {} takes one value, got {}", where, name, words.size()));
    } else if (!words.empty()) {
      option->words = std::move(words);
      option->origin = where + ": " + name;
    }
  }
}

}  // namespace tenfold::cli
