# A room is a folder under src/ built as one static library, tenfold_NAME; its tests are one program, NAME_test.

# tenfold_room(NAME DEPS room... LIBRARIES target...)
function(tenfold_room name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/cuda/")  # cmake/Cuda.cmake builds these
  if(NOT sources)
    add_library(tenfold_${name} INTERFACE)
    return()
  endif()
  add_library(tenfold_${name} STATIC ${sources})
  list(TRANSFORM ARG_DEPS PREPEND tenfold_)
  target_link_libraries(tenfold_${name} PUBLIC tenfold_flags ${ARG_DEPS} fmt::fmt spdlog::spdlog PRIVATE ${ARG_LIBRARIES})
endfunction()

# tenfold_test(NAME DEPS room...): every tests/NAME/*.cpp in one GoogleTest program, one ctest entry a suite.
function(tenfold_test name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  list(TRANSFORM ARG_DEPS PREPEND tenfold_)
  target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name}_test PRIVATE TENFOLD_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name}_test PRIVATE tenfold_test_support ${ARG_DEPS} ${ARG_LIBRARIES} GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name}_test --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 900)
  if(TENFOLD_SANITIZE)
    # An allocation that is too large is to be refused, as without a sanitizer; fontconfig keeps what it read until the process ends.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT
      "ASAN_OPTIONS=allocator_may_return_null=1;LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/leaks.supp:print_suppressions=0")
  endif()
endfunction()
