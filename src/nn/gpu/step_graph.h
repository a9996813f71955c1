// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include <torch/types.h>

namespace tessera::nn::gpu {

// Device work that is the same every time, recorded as a CUDA graph and replayed: a training step
// of a small network is hundreds of kernels that take less time than their launches.
//
// The first two runs execute the work as usual, so that libraries set themselves up; the third
// records it. From then on run() replays what was recorded: host code inside `work` does not run
// again, and whatever should differ from run to run must lie in tensors that the work reads and
// that the caller changes in place beforehand. Tensors that the work made keep their memory: their
// values are those of the last run. On the CPU, and in a build without CUDA, `work` just runs every
// time. The results are the same bits either way.
class StepGraph {
 public:
  explicit StepGraph(torch::Device device);
  ~StepGraph();
  StepGraph(StepGraph&&) noexcept;
  StepGraph& operator=(StepGraph&&) noexcept;

  void run(const std::function<void()>& work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::nn::gpu
