#include "ops/cpu/isa/attention_kernels.h"
namespace tenfold::cpu {
const AttentionKernels& attention_avx512_bf16() { return attention_f32_avx512(); }
}  // namespace tenfold::cpu
