# LibTorch for the areas below the torch line.
find_package(LibTorch 1.13 REQUIRED)
message(STATUS "LibTorch ${LibTorch_VERSION}, CUDA ${LibTorch_CUDA}")

# Kernels of our own for a GPU: where LibTorch has one and there is a compiler for them.
set(TESSERA_CUDA OFF)
if(LibTorch_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(TESSERA_CUDA ON)
  else()
    message(WARNING "No CUDA compiler: training on a GPU will run by LibTorch's operators alone, "
      "several times slower. Put nvcc on the PATH or set CMAKE_CUDA_COMPILER.")
  endif()
endif()
# For every target that reads LibTorch's headers, so that all may share the precompiled ones.
target_compile_definitions(LibTorch::LibTorch INTERFACE TESSERA_CUDA=$<BOOL:${TESSERA_CUDA}>)

# tessera_use_torch(target)
# Links LibTorch and the precompiled header of its tensors and autograd, which takes 20 s to read
# otherwise (4 s a file with it). Include <torch/types.h>, <torch/autograd.h> and what else is needed
# (<torch/optim/sgd.h>), never <torch/torch.h>: that doubles the time. One target (tessera_nn_tensor)
# makes the precompiled header, all others reuse it; GCC rejects it (with a warning) for a target
# whose flags differ, so every torch target takes its flags from tessera_build_flags alone.
function(tessera_use_torch target)
  target_link_libraries(${target} PUBLIC LibTorch::LibTorch)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # lets ccache see through it
  endif()
  if(target STREQUAL "tessera_nn_tensor")
    target_precompile_headers(${target} PRIVATE
      <torch/types.h> <torch/autograd.h> <torch/cuda.h> <ATen/Context.h> <algorithm> <cmath>
      <cstdint> <filesystem> <map> <memory> <optional> <span> <string> <string_view> <utility>
      <variant> <vector> <fmt/format.h>)
  else()
    target_precompile_headers(${target} REUSE_FROM tessera_nn_tensor)
  endif()
endfunction()
