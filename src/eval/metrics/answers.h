#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// SQuAD's normalisation: lower case, no ASCII punctuation, a space for each of the words a, an, the (\b of Unicode), white space
/// collapsed (evaluations.md 2.1).
std::string normalize_answer(std::string_view text);

/// Its Chinese counterpart: lower case, no ASCII punctuation, none of the benchmark's Chinese punctuation (U+300A stays, a slip
/// of the original), no white space (evaluations.md 2.2).
std::string normalize_zh_answer(std::string_view text);

/// F1 of two bags of tokens, 0 to 1; 0 where they share none.
double token_f1(const std::vector<std::string_view>& prediction, const std::vector<std::string_view>& reference);

/// token_f1 of the words of both texts after normalize_answer.
double qa_f1(std::string_view prediction, std::string_view reference);
/// token_f1 of the characters of both texts after normalize_zh_answer.
double qa_f1_characters(std::string_view prediction, std::string_view reference);

}  // namespace tenfold
