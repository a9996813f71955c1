// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "tessera/nn/train/trainer.h"

#include "nn/gpu/step_graph.h"

namespace tessera::nn::detail {

// The parts of a training step that run as kernels of our own on a GPU, where the data set lies.
// What differs from step to step is in tensors that set_batch() and set_factors() overwrite, so
// that the work on them can be recorded.
class GpuSteps {
 public:
  // Whether the data lies where these kernels run.
  static bool apply_to(const Dataset& data);
  GpuSteps(const Dataset& data, const Preprocessing& preprocessing, std::int64_t batch);

  // indices: of this step's images, on the CPU.
  void set_batch(const Tensor& indices, std::span<const Placement> placements);
  void set_factors(double rate, double first_correction, double second_correction);

  // Normalized, placed images and their labels.
  Batch load() const;
  void relative_adam(std::span<const Tensor> parameters, std::span<Tensor> first,
                     std::span<Tensor> second, double beta1, double beta2,
                     const TrainingOptions& options);
  void sgd(std::span<const Tensor> parameters, std::span<Tensor> momentum, double factor,
           double weight_decay);

  gpu::StepGraph& graph() { return graph_; }

 private:
  const Dataset* data_;
  std::int64_t batch_;
  Tensor placements_;  // int32 [batch, 4]
  Tensor factors_;     // float32 [3]
  Tensor scale_, offset_;
  Tensor scratch_;
  gpu::StepGraph graph_;
};

}  // namespace tessera::nn::detail
