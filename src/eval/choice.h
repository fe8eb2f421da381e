#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

inline constexpr std::string_view kChoiceLetters = "ABCD";

/// A prompt that one of the letters A to D follows, each a single token.
struct ChoicePrompt {
  std::vector<int32_t> prompt;
  std::array<int32_t, 4> letters{};
};

/// From four whole texts that differ in the letter alone, encoded. InputError naming `where` when the letters are no single
/// tokens or not told apart.
ChoicePrompt choice_of(const std::array<std::vector<int32_t>, 4>& rows, std::string_view where);

/// Negative log-likelihoods of some ids given logits (V), in f32 as the published evaluations compare them.
std::vector<float> nll_of(std::span<const float> logits, std::span<const int32_t> ids);

}  // namespace tenfold
