#pragma once

#include "train/trainer.h"

#include <cstdint>
#include <string_view>

namespace tenfold {

/// Learning rate of the 0-based step: linear warm-up from 0, then the schedule down to 0 at `steps` (transformers,
/// optimization.py).
double learning_rate_at(const TrainOptions& options, int64_t step, int64_t steps);

/// "linear", "cosine" or "constant"; InputError with the three names otherwise.
Schedule schedule_by_name(std::string_view name);
std::string_view name_of(Schedule schedule);

}  // namespace tenfold
