# `cpack` in the build folder packs for users:
#   tenfold-VERSION-linux-x86_64.tar.xz      unpacked anywhere, with every library that is neither glibc's nor NVIDIA's
#   tenfold_VERSION_amd64.deb                the program; apt resolves its libraries
#   tenfold-cuda_VERSION_amd64.deb           libtenfold_cuda.so, where it was built
# CUDA 13 and cuDNN 9 are never packed. `cmake --install` installs the components program and cuda alone.
set(TENFOLD_SHARE share/doc/tenfold)
install(FILES LICENSE README.md DESTINATION ${TENFOLD_SHARE} COMPONENT documents EXCLUDE_FROM_ALL)
install(DIRECTORY docs recipes DESTINATION ${TENFOLD_SHARE} COMPONENT documents EXCLUDE_FROM_ALL)

if(TARGET tenfold)
  # glibc and the loader belong to the machine; mixing versions of them breaks programs.
  set(tenfold_outside "^(ld-linux.*|libc|libm|libmvec|libdl|librt|libpthread|libresolv)\\.so")
  install(RUNTIME_DEPENDENCY_SET tenfold_libraries PRE_EXCLUDE_REGEXES ${tenfold_outside}
          LIBRARY DESTINATION lib COMPONENT libraries EXCLUDE_FROM_ALL)
  install(CODE "set(tenfold_architecture \"${CMAKE_LIBRARY_ARCHITECTURE}\")" COMPONENT libraries EXCLUDE_FROM_ALL)
  install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/Licenses.cmake COMPONENT libraries EXCLUDE_FROM_ALL)
endif()

set(CPACK_PACKAGE_NAME tenfold)
set(CPACK_PACKAGE_VENDOR tenfold)
set(CPACK_PACKAGE_CONTACT "The tenfold maintainers <maintainers@tenfold.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
    "One native program that trains, evaluates and answers with long-context language models of the Llama family, on a CPU or on an NVIDIA GPU.")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME tenfold-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_GENERATOR TXZ DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_SOURCE_DIR}/cmake/PackageComponents.cmake)
set(CPACK_TENFOLD_CUDA ${TENFOLD_CUDA_FOUND})

# The archive: all components in one.
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)

# The packages: what the program links is asked of dpkg-shlibdeps. NVIDIA's packages are recommended, not demanded: CUDA comes in other
# ways, too (a container, a run file), and the program runs on the CPU without any.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME tenfold)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "tenfold-cuda (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_CUDA_PACKAGE_NAME tenfold-cuda)
set(CPACK_DEBIAN_CUDA_PACKAGE_DEPENDS "tenfold (= ${PROJECT_VERSION}), libc6, libstdc++6")
if(TENFOLD_CUDA_FOUND)
  set(CPACK_DEBIAN_CUDA_PACKAGE_RECOMMENDS
      "libcublas-${CUDAToolkit_VERSION_MAJOR}-${CUDAToolkit_VERSION_MINOR}, libcudnn9-cuda-${CUDAToolkit_VERSION_MAJOR}")
endif()
set(CPACK_COMPONENT_CUDA_DESCRIPTION "The GPU part of tenfold; needs NVIDIA's driver, cuBLASLt and cuDNN 9.")

include(CPack)
cpack_add_component(program GROUP program)
cpack_add_component(documents GROUP program)
cpack_add_component(libraries GROUP libraries)
cpack_add_component(cuda GROUP cuda)
cpack_add_component_group(program)
cpack_add_component_group(libraries)
cpack_add_component_group(cuda)
