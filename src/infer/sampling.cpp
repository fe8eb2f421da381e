#include "core/error.h"
#include "core/rng.h"
#include "infer/session.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tenfold {
namespace {

constexpr uint64_t kSamplingStream = 0x73616d70;  // "samp"

int32_t greedy(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) throw_input("the model's logits are not numbers; its weights or the adapter are damaged");
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<int32_t>(best);
}

}  // namespace

int32_t sample(std::span<const float> logits, const SamplingOptions& options, int64_t step) {
  const int32_t best = greedy(logits);
  if (options.temperature <= 0) return best;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < order.size()) order.resize(static_cast<size_t>(options.top_k));
  const double top = static_cast<double>(logits[static_cast<size_t>(best)]);
  std::vector<double> mass;
  double total = 0;
  for (const int32_t id : order) {
    mass.push_back(
        std::exp((static_cast<double>(logits[static_cast<size_t>(id)]) - top) / static_cast<double>(options.temperature)));
    total += mass.back();
  }
  // The smallest set whose probability reaches top_p; the token that crosses it belongs to the set.
  size_t kept = 0;
  double reached = 0;
  while (kept < mass.size() && (kept == 0 || reached < static_cast<double>(options.top_p) * total)) reached += mass[kept++];
  Rng rng(options.seed, mix64(kSamplingStream, static_cast<uint64_t>(step)));
  double point = rng.uniform() * reached;
  for (size_t i = 0; i < kept; ++i) {
    point -= mass[i];
    if (point < 0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace tenfold
