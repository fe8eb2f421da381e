#include "ops/cpu/isa/elementwise_body.h"

namespace tenfold::cpu {

const ElementwiseKernels& elementwise_avx2() { return kKernels; }

}  // namespace tenfold::cpu
