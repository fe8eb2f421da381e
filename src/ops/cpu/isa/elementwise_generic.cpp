#include "ops/cpu/isa/elementwise_body.h"

namespace tenfold::cpu {

const ElementwiseKernels& elementwise_generic() { return kKernels; }

}  // namespace tenfold::cpu
