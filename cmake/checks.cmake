# Executables without Node: kernel_checks compares every kernel with a reference in float64, kernel_bench times it beside
# LibTorch's own operations. kernel_checks_emulated does the former with the CUDA sources as the CPU runs them.
file(GLOB CHECK_SOURCES CONFIGURE_DEPENDS native/checks/*.cc)
list(FILTER CHECK_SOURCES EXCLUDE REGEX "/cuda_emulator.cc$")
add_library(checks OBJECT ${CHECK_SOURCES})
target_link_libraries(checks PRIVATE core_interface)
target_precompile_headers(checks PRIVATE native/precompiled.h)

file(GLOB EMULATED_SOURCES CONFIGURE_DEPENDS native/kernels/*.cu native/kernels/*_cuda.cc)
list(FILTER EMULATED_SOURCES EXCLUDE REGEX "/cuda_devices_cuda.cc$")
set_source_files_properties(${EMULATED_SOURCES} PROPERTIES LANGUAGE CXX)
file(GLOB CUDA_KERNEL_SOURCES CONFIGURE_DEPENDS native/kernels/*.cu)
set_source_files_properties(${CUDA_KERNEL_SOURCES} PROPERTIES COMPILE_OPTIONS "-x;c++")
add_library(emulated_cuda OBJECT ${EMULATED_SOURCES} native/checks/cuda_emulator.cc)
target_link_libraries(emulated_cuda PRIVATE core_interface)
target_compile_definitions(emulated_cuda PRIVATE TRANSFER_LIMITS_EMULATED_CUDA)
target_compile_options(emulated_cuda PRIVATE -Wno-unknown-pragmas)

# LibTorch's own OpenMP, by its path: a second one would bring a second set of threads.
file(GLOB LIBTORCH_OPENMP "${LIBTORCH}/lib/libgomp*.so*")
function(add_check_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE checks core ${LIBTORCH_OPENMP})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX BUILD_RPATH "${LIBTORCH}/lib"
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/checks")
endfunction()

add_check_program(kernel_checks_emulated)
target_link_libraries(kernel_checks_emulated PRIVATE emulated_cuda libtorch)
if(CUDA_TOOLKIT)
  add_check_program(kernel_checks)
  target_link_libraries(kernel_checks PRIVATE with_cuda libtorch_cuda)
else()
  add_check_program(kernel_checks)
  target_link_libraries(kernel_checks PRIVATE without_cuda libtorch)
endif()
