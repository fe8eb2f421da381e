#include "eval/metrics/ruler.h"

#include "eval/metrics/text.h"
#include "text/case.h"

#include <algorithm>
#include <cstdint>

namespace tenfold {

double ruler_share(std::string_view prediction, std::span<const std::string> references) {
  std::string text(strip(prediction));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }, '\n');
  text = lower_case(strip(text));
  int64_t found = 0;
  for (const std::string& reference : references) found += text.find(lower_case(reference)) != std::string::npos ? 1 : 0;
  return references.empty() ? 0.0 : static_cast<double>(found) / static_cast<double>(references.size());
}

}  // namespace tenfold
