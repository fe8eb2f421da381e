#include "eval/choice.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>

namespace tenfold {

ChoicePrompt choice_of(const std::array<std::vector<int32_t>, 4>& rows, std::string_view where) {
  size_t common = rows[0].size();
  for (size_t i = 1; i < 4; ++i) {
    const auto stop = std::mismatch(rows[0].begin(), rows[0].end(), rows[i].begin(), rows[i].end()).first;
    common = std::min(common, static_cast<size_t>(stop - rows[0].begin()));
  }
  ChoicePrompt choice;
  choice.prompt.assign(rows[0].begin(), rows[0].begin() + static_cast<ptrdiff_t>(common));
  for (size_t i = 0; i < 4; ++i) {
    const bool whole = common > 0 && common < rows[i].size() && rows[i].size() == rows[0].size() &&
                       std::equal(rows[i].begin() + static_cast<ptrdiff_t>(common) + 1, rows[i].end(),
                                  rows[0].begin() + static_cast<ptrdiff_t>(common) + 1);
    if (!whole) throw_input("{}: the letters A to D of the answers are no single tokens of this model's tokenizer", where);
    choice.letters[i] = rows[i][common];
    for (size_t j = 0; j < i; ++j) {
      if (choice.letters[j] == choice.letters[i]) {
        throw_input("{}: this model's tokenizer does not tell the letters {} and {} apart", where, kChoiceLetters[j],
                    kChoiceLetters[i]);
      }
    }
  }
  return choice;
}

std::vector<float> nll_of(std::span<const float> logits, std::span<const int32_t> ids) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  const double log_sum = most + std::log(sum);
  std::vector<float> out;
  for (const int32_t id : ids) out.push_back(static_cast<float>(log_sum - logits[static_cast<size_t>(id)]));
  return out;
}

}  // namespace tenfold
