#pragma once

// Counting by lanes. Everything is in an anonymous namespace: each unit that includes this compiles it for its instruction set.

#include <cstdint>

namespace tenfold::cpu {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace tenfold::cpu
