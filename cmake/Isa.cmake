# CPU kernels with intrinsics: one unit an instruction set, picked by cpuid at run time (ops/cpu_features.h). A unit's name ends in its set.
# They keep the tree's -ffp-contract=off: a fused multiply-add is written as one, so that dequantised values equal the reference bit for bit.
# Such a unit must not use inline library code that other units also use: the linker could keep its copy for a CPU without these instructions.
set(TENFOLD_ISA_avx2 "-O3;-mavx2;-mfma;-mf16c;-mbmi2")
set(TENFOLD_ISA_avx512 "-O3;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mfma;-mf16c;-mbmi2")
set(TENFOLD_ISA_avx512_bf16 "${TENFOLD_ISA_avx512};-mavx512bf16;-mavx512vnni")
# AMX is written in assembler: the compiler needs no word for it.
set(TENFOLD_ISA_amx_bf16 "${TENFOLD_ISA_avx512_bf16}")
foreach(isa avx2 avx512 avx512_bf16 amx_bf16)
  file(GLOB isa_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/ops/cpu/isa/*_${isa}.cpp)
  # GCC 12 takes the undefined operand inside its own AVX-512 intrinsics for a mistake of ours.
  set_source_files_properties(${isa_sources} PROPERTIES COMPILE_OPTIONS "${TENFOLD_ISA_${isa}};-Wno-conversion;-Wno-maybe-uninitialized;-Wno-uninitialized")
endforeach()
