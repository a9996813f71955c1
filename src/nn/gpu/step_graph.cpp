// SPDX-License-Identifier: Apache-2.0
#include "nn/gpu/step_graph.h"

#include "nn/gpu/launch.h"

#if TESSERA_CUDA
#include <optional>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace tessera::nn::gpu {

#if TESSERA_CUDA

Stream current_stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

void use_own_stream(torch::Device device) {
  if (device.is_cuda())
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(false, device.index()));
}

struct StepGraph::Impl {
  static constexpr int kRunsBeforeRecording = 2;
  bool records = false;
  int runs = 0;
  std::optional<at::cuda::CUDAGraph> graph;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  // A recording has memory of its own, which the allocator would keep and no later one use: a
  // search that trains layer by layer would fill the GPU.
  ~Impl() {
    if (!graph)
      return;
    graph.reset();
    c10::cuda::CUDACachingAllocator::emptyCache();
  }
};

void StepGraph::run(const std::function<void()>& work) {
  if (!impl_->records || impl_->runs++ < Impl::kRunsBeforeRecording) {
    work();
    return;
  }
  if (!impl_->graph) {
    impl_->graph.emplace();
    impl_->graph->capture_begin();
    work();
    impl_->graph->capture_end();
  }
  impl_->graph->replay();
}

#else

void use_own_stream(torch::Device) {}

struct StepGraph::Impl {
  bool records = false;
};

void StepGraph::run(const std::function<void()>& work) {
  work();
}

#endif

StepGraph::StepGraph(torch::Device device) : impl_(std::make_unique<Impl>()) {
  impl_->records = kCompiled && device.is_cuda();
}
StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;
StepGraph& StepGraph::operator=(StepGraph&&) noexcept = default;

}  // namespace tessera::nn::gpu
