# Executables without Node: kernel_checks compares every kernel with a reference in float64, kernel_bench times it beside
# LibTorch's own operations. kernel_checks_emulated does the former with the CUDA sources as the CPU runs them.
file(GLOB CHECK_SOURCES CONFIGURE_DEPENDS native/checks/*_checks.cc)
add_library(checks OBJECT ${CHECK_SOURCES} native/checks/checks.cc)
compile_as_networks(checks)
set_target_properties(checks PROPERTIES UNITY_BUILD ${GROUP_SOURCES})

file(GLOB EMULATED_SOURCES CONFIGURE_DEPENDS native/kernels/*_cuda.cu native/kernels/*_cuda.cc)
list(FILTER EMULATED_SOURCES EXCLUDE REGEX "/cuda_devices_cuda.cc$")
add_library(emulated_cuda OBJECT ${EMULATED_SOURCES} native/checks/cuda_emulator.cc
  native/training/rank_group_absent.cc native/training/step_recorder_absent.cc)
set_source_files_properties(${EMULATED_SOURCES} PROPERTIES LANGUAGE CXX)
list(FILTER EMULATED_SOURCES INCLUDE REGEX "\\.cu$")
set_source_files_properties(${EMULATED_SOURCES} PROPERTIES COMPILE_OPTIONS "-x;c++")
target_link_libraries(emulated_cuda PRIVATE core_interface)
target_compile_options(emulated_cuda PRIVATE -Wno-unknown-pragmas)
target_compile_definitions(emulated_cuda PRIVATE TRANSFER_LIMITS_EMULATED_CUDA)

# A program with the core. LibTorch's own OpenMP is linked by its path: a second one would bring a second set of threads.
file(GLOB LIBTORCH_OPENMP "${LIBTORCH}/lib/libgomp*.so*")
function(add_check_program name)
  add_executable(${name})
  target_link_libraries(${name} PRIVATE core ${ARGN} ${LIBTORCH_OPENMP})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX BUILD_RPATH "${LIBTORCH}/lib"
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/checks")
endfunction()

if(CUDA_TOOLKIT)
  set(KERNELS with_cuda libtorch_cuda "${CUDA_RUNTIME}")
else()
  set(KERNELS without_cuda libtorch)
endif()
add_check_program(kernel_checks checks ${KERNELS})
add_check_program(kernel_checks_emulated checks emulated_cuda libtorch)
add_check_program(kernel_bench ${KERNELS})
target_sources(kernel_bench PRIVATE native/checks/kernel_bench.cc)
target_link_libraries(kernel_bench PRIVATE core_interface)

# One that starts where CUDA's libraries are not, of a build with CUDA too: a visit to a GPU is rehearsed with it.
if(CUDA_TOOLKIT)
  add_check_program(kernel_bench_cpu without_cuda libtorch)
  target_sources(kernel_bench_cpu PRIVATE native/checks/kernel_bench.cc)
  target_link_libraries(kernel_bench_cpu PRIVATE core_interface)
endif()
