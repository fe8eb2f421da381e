# Warnings, sanitizers and the flags every target shares.
add_library(tenfold_flags INTERFACE)
target_compile_options(tenfold_flags INTERFACE
                       "$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall;-Wextra;-Wshadow;-Wconversion;-Wno-sign-conversion;-Wnon-virtual-dtor;-Woverloaded-virtual;-fno-math-errno;-ffp-contract=off>")
target_include_directories(tenfold_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(tenfold_flags INTERFACE TENFOLD_VERSION="${PROJECT_VERSION}")
if(TENFOLD_SANITIZE)
  target_compile_options(tenfold_flags INTERFACE -fsanitize=${TENFOLD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(tenfold_flags INTERFACE -fsanitize=${TENFOLD_SANITIZE})
endif()
