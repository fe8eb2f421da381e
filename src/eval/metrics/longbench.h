#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// Scores of one prediction against one answer, 0 to 1, as LongBench and the published evaluation count (evaluations.md 2.6).
/// nullopt where theirs raises.

/// Share of the prediction's numbers that are the answer, compared as texts ("05" is not "5").
double count_score(std::string_view prediction, std::string_view answer);
/// The same for the number after `marker` in the answer; none there raises.
std::optional<double> retrieval_score(std::string_view prediction, std::string_view answer, std::string_view marker);
inline constexpr std::string_view kParagraph = "Paragraph ";
inline constexpr std::string_view kParagraphZh = "\xE6\xAE\xB5\xE8\x90\xBD";

/// fuzz_ratio / 100 of the first line without backquote, # and //.
double code_sim_score(std::string_view prediction, std::string_view answer);

/// 1 / n where the answer is among the n classes that the prediction names, after the original's removal of near misses from a
/// list that it walks; without any class named, whether the class most similar to the prediction is the answer.
double classification_score(std::string_view prediction, std::string_view answer, const std::vector<std::string>& classes);

}  // namespace tenfold
