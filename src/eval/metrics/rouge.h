#pragma once

#include <string_view>

namespace tenfold {

struct RougeScore {
  double recall = 0;
  double precision = 0;
  double f = 0;
};

/// How the published evaluation's rouge behaves on a long sentence pair: its traceback recurses, and Python gives up.
enum class RougeRecursion { kNone, kReference };

/// ROUGE-L of the PyPI package `rouge` 1.0.1 (summary level, union over sets of words; evaluations.md 2.5). 0 where the package
/// raises: a text without any sentence, and, with kReference, a traceback of more than 985 steps. Time n x m over words of the
/// sentence pairs; memory at most 32 MiB and a row of 4 bytes a word for every 2^28 cells.
RougeScore rouge_l(std::string_view prediction, std::string_view reference, RougeRecursion recursion = RougeRecursion::kNone);

/// ROUGE-N of the same package: sets of n-grams over the concatenated words. n >= 1.
RougeScore rouge_n(std::string_view prediction, std::string_view reference, int n);

}  // namespace tenfold
