# CPU kernels with intrinsics: one unit an instruction set, picked by cpuid at run time.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/ops/cpu/isa/avx512_bf16.cpp PROPERTIES COMPILE_OPTIONS
  "-O3;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512bf16;-mavx512vbmi;-mfma;-mf16c;-ffp-contract=fast;-Wno-conversion")
