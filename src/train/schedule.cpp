#include "train/schedule.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenfold {

double learning_rate_at(const TrainOptions& options, int64_t step, int64_t steps) {
  const auto warmup = static_cast<double>(options.warmup_steps);
  const auto s = static_cast<double>(step);
  if (s < warmup) return options.learning_rate * s / std::max(1.0, warmup);
  const double span = std::max(1.0, static_cast<double>(steps) - warmup);
  switch (options.schedule) {
    case Schedule::kConstant: return options.learning_rate;
    case Schedule::kLinear: return options.learning_rate * std::max(0.0, (static_cast<double>(steps) - s) / span);
    case Schedule::kCosine:
      return options.learning_rate * std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * (s - warmup) / span)));
  }
  TENFOLD_CHECK(false, "schedule {}", static_cast<int>(options.schedule));
}

Schedule schedule_by_name(std::string_view name) {
  for (const Schedule s : {Schedule::kLinear, Schedule::kCosine, Schedule::kConstant}) {
    if (name == name_of(s)) return s;
  }
  throw_input("--schedule {}: unknown; expected linear, cosine or constant", name);
}

std::string_view name_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::kLinear: return "linear";
    case Schedule::kCosine: return "cosine";
    case Schedule::kConstant: return "constant";
  }
  TENFOLD_CHECK(false, "schedule {}", static_cast<int>(schedule));
}

}  // namespace tenfold
