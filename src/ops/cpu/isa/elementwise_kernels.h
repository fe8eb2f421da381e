#pragma once

#include "ops/adamw_coefficients.h"

#include <cstdint>

namespace tenfold::cpu {

/// The mask of a dropout row: philox(key, row, d / 4), element dropped when its 32-bit word is below the threshold.
struct DropoutMask {
  uint64_t key = 0;
  uint64_t row = 0;
  uint32_t threshold = 0;
  float scale = 1;
};

/// Serial bodies of the elementwise ops over n contiguous elements, compiled once an instruction set from elementwise_body.h.
/// An index is a dtype: 0 f32, 1 bf16. Inputs and outputs may be the same array, never overlap otherwise. f32 inside.
struct ElementwiseKernels {
  void (*convert[2][2])(const void* x, void* y, int64_t n);
  void (*add[2])(const void* x, float* y, int64_t n);
  void (*rms_norm[2][2])(const void* x, const float* weight, float eps, void* y, int64_t n);
  float (*inverse_rms[2])(const void* x, float eps, int64_t n);
  /// d_x += of one token (n); indices are d_y, x.
  void (*rms_norm_backward[2][2])(const void* d_y, const void* x, const float* weight, float eps, float* d_x, int64_t n);
  /// d_weight += d_y x inverse_rms of one token.
  void (*rms_norm_weight[2][2])(const void* d_y, const void* x, float inverse_rms, float* d_weight, int64_t n);
  /// One head: (a, b) of the two halves of x (2 half) -> (a cos - b sin, b cos + a sin), sin times sign.
  void (*rope[2])(void* x, const float* cos, const float* sin, float sign, int64_t half);
  void (*swiglu[2])(const void* gate, const void* up, void* a, int64_t n);
  /// Indices are d_a, gate.
  void (*swiglu_backward[2][2])(const void* d_a, const void* gate, const void* up, void* d_gate, void* d_up, int64_t n);
  void (*adamw)(const ops::AdamWCoefficients& c, float* parameter, const float* gradient, float* m, float* v, int64_t n);
  double (*sum_of_squares[2])(const void* x, int64_t n);
  void (*dropout[2][2])(const void* x, const DropoutMask& mask, void* y, int64_t n);
  int64_t (*argmax)(const float* x, int64_t n);
};

const ElementwiseKernels& elementwise_generic();
const ElementwiseKernels& elementwise_avx2();
const ElementwiseKernels& elementwise_avx512();

}  // namespace tenfold::cpu
