// model_gpu_test: the cases of tests/model, tests/infer and tests/train on a GPU, and long sequences. Host memory is ordinary
// here, as it is in the program: a pointer of the host that reaches a kernel is found.
#include "cuda/gpu_main.h"

int main(int argc, char** argv) {
  tenfold::test::run_on_gpu(argc, argv, "", [] {});
}
