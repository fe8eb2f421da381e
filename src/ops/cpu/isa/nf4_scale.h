#pragma once

#include "core/tensor.h"

namespace tenfold::cpu {
namespace {

/// The scale of a block of 64, restored by two separate roundings. In an anonymous namespace: each unit has its own.
inline float nf4_scale(const Nf4Scales& s, int64_t block) {
  if (s.absmax8 == nullptr) return s.absmax[block];
  return s.nested_code[s.absmax8[block]] * s.nested_absmax[block / 256] + s.nested_offset;
}

}  // namespace
}  // namespace tenfold::cpu
