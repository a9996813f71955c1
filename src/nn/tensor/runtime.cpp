// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/runtime.h"

#include <charconv>
#include <cstdlib>
#include <limits>
#include <thread>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include "tessera/core/error.h"

#include "nn/gpu/launch.h"

namespace tessera::nn {

namespace {

constexpr std::string_view kDevices = "known: cpu, cuda, cuda:K (the K-th GPU, from 0)";

torch::Device parse_device(const std::string& text) {
  if (text == "cpu")
    return torch::Device(torch::kCPU);
  int index = 0;
  if (text != "cuda") {
    const std::string_view prefix = "cuda:";
    const char* const end = text.data() + text.size();
    const bool prefixed = text.starts_with(prefix);
    const auto parsed = prefixed ? std::from_chars(text.data() + prefix.size(), end, index)
                                 : std::from_chars_result{nullptr, std::errc::invalid_argument};
    if (parsed.ec != std::errc() || parsed.ptr != end || index < 0)
      throw UsageError(fmt::format("unknown device '{}'; {}", text, kDevices));
  }
  if (!torch::cuda::is_available()) {
    throw UsageError(fmt::format(
        "device '{}': this LibTorch ({}) finds no usable GPU (a build without CUDA, no GPU, or no "
        "driver); use --device cpu",
        text, TORCH_VERSION));
  }
  const auto count = static_cast<int>(torch::cuda::device_count());
  if (index >= count)
    throw UsageError(fmt::format("device '{}': this machine has {} GPU{}, numbered from 0", text,
                                 count, count == 1 ? "" : "s"));
  return torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// LibTorch 1.13 tells which kernels its dispatcher chose in this text alone.
std::string cpu_capability() {
  constexpr std::string_view kLabel = "CPU capability usage: ";
  const std::string config = at::show_config();
  const std::size_t at = config.find(kLabel);
  if (at == std::string::npos)
    return "unknown";
  const std::size_t begin = at + kLabel.size();
  return config.substr(begin, config.find_first_of(",\n", begin) - begin);
}

// Each operator allocates its result anew. glibc gives large blocks back to the system at once, and
// every page of the next one is then cleared and mapped again: keeping them is a third of the time
// of an evaluation (ResNet8, two cores: 7.0 s for 10.9 s, 76 thousand page faults for 3.3 million).
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

}  // namespace

void enable_widest_cpu_kernels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  // LibTorch reads the variable at its first kernel, not when the library is loaded.
  if (wide)
    setenv("ATEN_CPU_CAPABILITY", "avx512", /*replace=*/0);
#endif
  // cuBLAS is deterministic only with a workspace of fixed size.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*replace=*/0);
}

torch::Device set_up_torch(const RuntimeOptions& options) {
  if (options.threads < 0)
    throw UsageError(
        fmt::format("threads: {} is not a count; 0 means one per core", options.threads));
  if (options.keep_freed_memory)
    keep_freed_memory();
  const torch::Device device = parse_device(options.device);
  gpu::use_own_stream(device);
  const int threads = options.threads > 0
                          ? options.threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  at::set_num_threads(threads);
  // One graph runs at a time: threads between operators would only compete.
  if (at::get_num_interop_threads() != 1)
    at::set_num_interop_threads(1);
  auto& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 2)
  // The deterministic mode would also fill memory that nobody reads before it is written: a
  // twentieth of a training step of ResNet20 on a GPU.
  context.setDeterministicFillUninitializedMemory(false);
#endif
  // TF32 keeps 10 bits of the mantissa: too few beside "float32" in a table of precisions.
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  return device;
}

RuntimeRecord runtime_record(torch::Device device) {
  return {.torch_version = TORCH_VERSION,
          .cpu_capability = cpu_capability(),
          .threads = at::get_num_threads(),
          .device = device.str()};
}

}  // namespace tessera::nn
