# Finds LibTorch, Debian's (libtorch-dev) or a PyTorch installation's, and defines LibTorch::LibTorch.
#
# A PyTorch installation is given by
#   -DCMAKE_PREFIX_PATH="$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')"
# and wins over the system's. Its own TorchConfig.cmake is read for the ABI alone: a CUDA build's
# refuses to load on a machine without nvcc, although nothing here is compiled by it.
set(libtorch_hints)
foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND libtorch_hints "${prefix}" "${prefix}/../..")
endforeach()
if(Torch_DIR)
  list(APPEND libtorch_hints "${Torch_DIR}/../../..")
endif()

find_path(LibTorch_API_INCLUDE_DIR torch/torch.h HINTS ${libtorch_hints}
  PATH_SUFFIXES include/torch/csrc/api/include torch/csrc/api/include)
get_filename_component(libtorch_include "${LibTorch_API_INCLUDE_DIR}/../../../.." ABSOLUTE)
get_filename_component(libtorch_root "${libtorch_include}/.." ABSOLUTE)
set(LibTorch_INCLUDE_DIR "${libtorch_include}")

set(LibTorch_LIBRARIES)
foreach(name IN ITEMS torch torch_cpu c10)
  find_library(LibTorch_${name}_LIBRARY ${name} HINTS ${libtorch_root}/lib)
  list(APPEND LibTorch_LIBRARIES "${LibTorch_${name}_LIBRARY}")
endforeach()
# The CUDA half must come from the same installation as the rest.
get_filename_component(libtorch_lib_dir "${LibTorch_torch_LIBRARY}" DIRECTORY)
set(LibTorch_CUDA OFF)
foreach(name IN ITEMS torch_cuda c10_cuda)
  find_library(LibTorch_${name}_LIBRARY ${name} PATHS ${libtorch_lib_dir} NO_DEFAULT_PATH)
  if(LibTorch_${name}_LIBRARY)
    list(APPEND LibTorch_LIBRARIES "${LibTorch_${name}_LIBRARY}")
    set(LibTorch_CUDA ON)
  endif()
endforeach()

# PyTorch 2.9 moved its version header.
foreach(header IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT LibTorch_VERSION AND EXISTS "${libtorch_include}/${header}")
    file(STRINGS "${libtorch_include}/${header}" libtorch_version_lines
      REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    string(REGEX MATCHALL "[0-9]+" libtorch_version_parts "${libtorch_version_lines}")
    list(JOIN libtorch_version_parts "." LibTorch_VERSION)
  endif()
endforeach()
find_file(LibTorch_CONFIG TorchConfig.cmake NO_DEFAULT_PATH
  HINTS ${libtorch_root}/share/cmake/Torch ${libtorch_lib_dir}/cmake/Torch)
set(libtorch_cxx11_abi 1)
if(LibTorch_CONFIG)
  file(STRINGS "${LibTorch_CONFIG}" libtorch_abi_line REGEX "_GLIBCXX_USE_CXX11_ABI=[01]")
  string(REGEX MATCH "_GLIBCXX_USE_CXX11_ABI=([01])" _ "${libtorch_abi_line}")
  if(NOT CMAKE_MATCH_1 STREQUAL "")
    set(libtorch_cxx11_abi ${CMAKE_MATCH_1})
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_torch_LIBRARY LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY
    LibTorch_API_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Install libtorch-dev, or point CMAKE_PREFIX_PATH at PyTorch's \
torch.utils.cmake_prefix_path, or configure with -DTESSERA_WITH_TORCH=OFF.")
mark_as_advanced(LibTorch_API_INCLUDE_DIR LibTorch_torch_LIBRARY LibTorch_torch_cpu_LIBRARY
  LibTorch_c10_LIBRARY LibTorch_torch_cuda_LIBRARY LibTorch_c10_cuda_LIBRARY LibTorch_CONFIG)

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  if(libtorch_cxx11_abi EQUAL 0)
    message(FATAL_ERROR "${libtorch_lib_dir} is built with the old C++ ABI "
      "(_GLIBCXX_USE_CXX11_ABI=0), which cannot be linked with this system's C++ libraries; "
      "use PyTorch 2.7 or later, or Debian's libtorch-dev")
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch INTERFACE
    ${LibTorch_INCLUDE_DIR} ${LibTorch_API_INCLUDE_DIR})
  # A PyTorch installation has an fmt of its own among its headers, but not in its libraries: used from the headers alone, it
  # stays apart from the system's.
  if(EXISTS "${LibTorch_INCLUDE_DIR}/fmt/format.h" AND NOT LibTorch_INCLUDE_DIR STREQUAL "/usr/include")
    target_compile_definitions(LibTorch::LibTorch INTERFACE FMT_HEADER_ONLY=1)
  endif()
  # Nothing of ours names a symbol of libtorch_cuda; it registers itself when it is loaded.
  target_link_libraries(LibTorch::LibTorch INTERFACE
    -Wl,--push-state,--no-as-needed ${LibTorch_LIBRARIES} -Wl,--pop-state)
endif()
