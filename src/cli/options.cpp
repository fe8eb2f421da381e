#include "cli/options.h"

#include "core/error.h"
#include "format/names.h"

#include <algorithm>
#include <array>

namespace tenfold::cli {

Option* OptionTable::find(std::string_view name) {
  const auto found = std::find_if(options_.begin(), options_.end(), [&](const Option& option) { return option.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

bool OptionTable::given(std::string_view name) const {
  const Option* option = find(name);
  return option != nullptr && option->given();
}

std::string OptionTable::near(std::string_view name, std::string_view prefix) const {
  return near_names(fmt::format("{}{}", prefix, name), [&](const std::function<void(std::string_view)>& each) {
    for (const Option& option : options_) {
      if (!option.positional) each(fmt::format("{}{}", prefix, option.name));
    }
  });
}

std::vector<std::pair<std::string, std::string>> OptionTable::resolved_values() const {
  // What only steers the output of one call is not part of a run's configuration.
  static constexpr std::array<std::string_view, 5> kOfTheCall = {"config", "json", "dry-run", "help", "resume"};
  std::vector<std::pair<std::string, std::string>> values;
  for (const Option& option : options_) {
    if (std::find(kOfTheCall.begin(), kOfTheCall.end(), option.name) != kOfTheCall.end()) continue;
    if (std::string value = option.toml(); !value.empty()) values.emplace_back(option.name, std::move(value));
  }
  return values;
}

std::string OptionTable::resolved() const {
  std::string out;
  for (const auto& [name, value] : resolved_values()) out += name + " = " + value + "\n";
  return out;
}

void read_values(OptionTable& table, std::vector<std::string>& errors) {
  for (Option& option : table.all()) {
    if (!option.given()) {
      if (option.required) {
        errors.push_back(option.positional ? fmt::format("{} is missing: {}", option.metavar, option.help)
                                           : fmt::format("--{} {} is missing: {}", option.name, option.metavar, option.help));
      }
      continue;
    }
    try {
      option.read(option.words);
    } catch (const InputError& error) {
      errors.push_back(fmt::format("{}: {}", option.origin, error.what()));
    }
  }
}

}  // namespace tenfold::cli
