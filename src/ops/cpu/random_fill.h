#pragma once

#include "device/exec.h"
#include "ops/random_fill.h"

namespace tenfold::cpu {

void random_fill(Exec& exec, const ops::RandomFill& fill);

}  // namespace tenfold::cpu
