#include "ops/cpu/isa/elementwise_body.h"

namespace tenfold::cpu {

const ElementwiseKernels& elementwise_avx512() { return kKernels; }

}  // namespace tenfold::cpu
