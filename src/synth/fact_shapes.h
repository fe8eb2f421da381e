#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tenfold {

/// A kind of fact. `sentences` are alternatives "one|two"; `asks` are alternatives "question;question#answer#value|...": any of
/// the questions, the answer as a sentence, and the answer in its shortest form (may be missing).
struct FactShape {
  int weight;
  std::string_view sentences;
  std::string_view asks;
};

/// Sentences that belong together; each part has its alternatives, asks are as above.
struct MultiShape {
  int weight;
  std::span<const std::string_view> parts;
  std::string_view asks;
};

std::span<const FactShape> number_shapes();
std::span<const FactShape> word_shapes();
std::span<const MultiShape> multi_shapes();

}  // namespace tenfold
