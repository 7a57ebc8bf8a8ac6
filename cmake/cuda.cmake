# The CUDA kernels. nvcc is called by itself: CMake's own CUDA support wants more of a toolkit than compiling needs.
foreach(name torch_cuda c10_cuda)
  add_library(${name} SHARED IMPORTED)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${LIBTORCH}/lib/lib${name}.so")
endforeach()
add_library(libtorch_cuda INTERFACE)
# Nothing refers to libtorch_cuda by name: what it registers when it is opened is what is wanted.
target_link_options(libtorch_cuda INTERFACE -Wl,--no-as-needed)
target_link_libraries(libtorch_cuda INTERFACE libtorch torch_cuda c10_cuda)

file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS native/kernels/*.cu)
file(GLOB CUDA_HOST_SOURCES CONFIGURE_DEPENDS native/kernels/*_cuda.cc native/training/*_cuda.cc)
# Code for the A100 and the H100 / H200, and PTX for what comes later.
set(CUDA_CODE -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=sm_90
  -gencode=arch=compute_90,code=compute_90)
set(CUDA_OBJECTS)
foreach(source ${CUDA_SOURCES})
  get_filename_component(name "${source}" NAME_WE)
  set(object "${CMAKE_BINARY_DIR}/cuda/${name}.o")
  add_custom_command(OUTPUT "${object}"
    COMMAND "${CUDA_TOOLKIT}/bin/nvcc" -std=c++20 -O3 "-I${CMAKE_SOURCE_DIR}/native" -Xcompiler=-fPIC,-fvisibility=hidden
      ${CUDA_CODE} -MD -MF "${object}.d" -c "${source}" -o "${object}"
    DEPENDS "${source}" DEPFILE "${object}.d" VERBATIM COMMENT "nvcc ${name}.cu")
  list(APPEND CUDA_OBJECTS "${object}")
endforeach()
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/cuda")

add_custom_target(cuda_objects DEPENDS ${CUDA_OBJECTS})

# CUDA's runtime: beside LibTorch in the package's cache, in the toolkit, or in the neighbouring package of a Python.
file(GLOB CUDA_RUNTIME "${CUDA_TOOLKIT}/lib64/libcudart.so*" "${CUDA_TOOLKIT}/lib/libcudart.so*"
  "${LIBTORCH}/lib/libcudart*.so*" "${LIBTORCH}/../nvidia/*/lib/libcudart.so*")
if(NOT CUDA_RUNTIME)
  message(FATAL_ERROR "Neither CUDA_TOOLKIT='${CUDA_TOOLKIT}' nor LIBTORCH='${LIBTORCH}' holds a libcudart.so")
endif()
list(GET CUDA_RUNTIME 0 CUDA_RUNTIME)

add_library(with_cuda OBJECT ${CUDA_HOST_SOURCES})
add_dependencies(with_cuda cuda_objects)
target_link_libraries(with_cuda PRIVATE core_interface INTERFACE ${CUDA_OBJECTS})
target_include_directories(with_cuda SYSTEM PRIVATE "${CUDA_TOOLKIT}/include")
