// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <torch/types.h>

namespace tessera::nn {

struct RuntimeOptions {
  int threads = 0;             // of LibTorch's CPU kernels; 0: one per core
  std::string device = "cpu";  // "cpu", "cuda", "cuda:k"
  // Whether freed memory stays with the process: faster where a network runs again and again, more
  // than is needed where it never does.
  bool keep_freed_memory = true;
};

// What a run's results below the torch line depend on, for its record.
struct RuntimeRecord {
  std::string torch_version;   // "1.13.1"
  std::string cpu_capability;  // the kernels LibTorch chose: "AVX2", "AVX512"
  int threads = 0;
  std::string device;  // "cpu", "cuda:0"
};

// Lets LibTorch use its AVX-512 kernels where the processor has them; version 1.13 leaves them off
// unless told (a third more training steps a second on two cores). A choice in the environment
// (ATEN_CPU_CAPABILITY) wins. Call first in main(), before any tensor exists.
void enable_widest_cpu_kernels();

// Sets threads and deterministic algorithms for the whole process and returns the device. The same
// seed, threads and CPU capability then give the same bytes. Throws UsageError for a device that is
// not known or not there. Call once, before work starts.
torch::Device set_up_torch(const RuntimeOptions& options);

RuntimeRecord runtime_record(torch::Device device);

}  // namespace tessera::nn
