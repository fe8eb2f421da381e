#include "eval/metrics/longbench.h"

#include "eval/metrics/fuzz.h"
#include "eval/metrics/sequence_matcher.h"
#include "eval/metrics/text.h"

#include <algorithm>

namespace tenfold {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string_view first_code_line(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (!contains(line, "`") && !contains(line, "#") && !contains(line, "//")) return line;
    begin = end + 1;
  }
  return {};
}

}  // namespace

double count_score(std::string_view prediction, std::string_view answer) {
  const auto runs = digit_runs(prediction);
  if (runs.empty()) return 0;
  return static_cast<double>(std::count(runs.begin(), runs.end(), answer)) / static_cast<double>(runs.size());
}

std::optional<double> retrieval_score(std::string_view prediction, std::string_view answer, std::string_view marker) {
  for (size_t at = answer.find(marker); at != std::string_view::npos; at = answer.find(marker, at + 1)) {
    const std::string_view rest = answer.substr(at + marker.size());
    const std::string_view number = first_digits(rest);
    if (!number.empty() && number.data() == rest.data()) return count_score(prediction, number);
  }
  return std::nullopt;
}

double code_sim_score(std::string_view prediction, std::string_view answer) {
  return fuzz_ratio(first_code_line(prediction), answer) / 100.0;
}

double classification_score(std::string_view prediction, std::string_view answer, const std::vector<std::string>& classes) {
  std::vector<std::string_view> named;
  for (const std::string& name : classes) {
    if (contains(prediction, name)) named.push_back(name);
  }
  // The original removes from the list that it iterates: what follows a removed term is not looked at. It removes by value, which
  // takes the first of equal terms.
  for (size_t i = 0; i < named.size(); ++i) {
    if (named[i] != answer && contains(answer, named[i])) named.erase(std::find(named.begin(), named.end(), named[i]));
  }
  if (!named.empty()) {
    const bool right = std::find(named.begin(), named.end(), answer) != named.end();
    return right ? 1.0 / static_cast<double>(named.size()) : 0.0;
  }
  const SequenceMatcher matcher(prediction);
  const std::string* best = nullptr;
  double highest = 0;
  for (const std::string& name : classes) {
    const double similarity = matcher.ratio(name);
    if (similarity > highest) {
      highest = similarity;
      best = &name;
    }
  }
  return best != nullptr && *best == answer ? 1.0 : 0.0;
}

}  // namespace tenfold
