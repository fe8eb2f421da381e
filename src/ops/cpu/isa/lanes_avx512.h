#pragma once

#include "ops/cpu/isa/lanes.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

/// The first n of 16 lanes: none below 0, all from 16 on.
inline __mmask16 first_lanes(int64_t n) {
  return n >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1U << larger(0, n)) - 1U);
}

}  // namespace
}  // namespace tenfold::cpu
