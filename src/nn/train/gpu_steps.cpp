// SPDX-License-Identifier: Apache-2.0
#include "nn/train/gpu_steps.h"

#include <torch/types.h>

#include "tessera/core/error.h"

#include "nn/gpu/launch.h"

namespace tessera::nn::detail {
namespace {

torch::Device device_of(const Dataset& data) {
  return data.train.images.device();
}

// Gradients, contiguous, which must live until the work that reads them is queued.
struct Updates {
  std::vector<Tensor> gradients;
  std::vector<gpu::Parameter> parameters;
};

Updates updates_of(std::span<const Tensor> parameters, std::span<Tensor> first,
                   std::span<Tensor> second) {
  Updates updates;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& parameter = parameters[i];
    if (!parameter.grad().defined())
      continue;
    TESSERA_CHECK(parameter.is_contiguous(), "a parameter is not contiguous");
    const Tensor& gradient = updates.gradients.emplace_back(parameter.grad().contiguous());
    const std::int64_t rows = parameter.dim() > 1 ? parameter.size(0) : 1;
    updates.parameters.push_back({.value = parameter.data_ptr<float>(),
                                  .gradient = gradient.data_ptr<float>(),
                                  .first = first[i].data_ptr<float>(),
                                  .second = second.empty() ? nullptr : second[i].data_ptr<float>(),
                                  .rows = rows,
                                  .k = parameter.numel() / rows,
                                  .is_matrix = parameter.dim() > 1});
  }
  return updates;
}

gpu::StepFactors factors_of(const Tensor& factors) {
  const auto* values = factors.data_ptr<float>();
  return {.rate = values, .first_correction = values + 1, .second_correction = values + 2};
}

}  // namespace

bool GpuSteps::apply_to(const Dataset& data) {
  return gpu::kCompiled && device_of(data).is_cuda() && data.is_images &&
         data.train.labels.dim() == 1 && data.train.images.scalar_type() == torch::kUInt8 &&
         data.train.images.is_contiguous();
}

GpuSteps::GpuSteps(const Dataset& data, const Preprocessing& preprocessing, std::int64_t batch)
    : data_(&data), batch_(batch), graph_(device_of(data)) {
  const auto on_device = torch::TensorOptions().device(device_of(data));
  placements_ = torch::zeros({batch, 4}, on_device.dtype(torch::kInt32));
  factors_ = torch::zeros({3}, on_device.dtype(torch::kFloat32));
  std::vector<float> scale;
  std::vector<float> offset;
  for (std::size_t c = 0; c < preprocessing.mean.size(); ++c) {
    scale.push_back(static_cast<float>(1.0 / (255.0 * preprocessing.std[c])));
    offset.push_back(static_cast<float>(-preprocessing.mean[c] / preprocessing.std[c]));
  }
  scale_ = torch::tensor(scale).to(on_device.device());
  offset_ = torch::tensor(offset).to(on_device.device());
}

void GpuSteps::set_batch(const Tensor& indices, std::span<const Placement> placements) {
  Tensor rows = torch::zeros({batch_, 4}, torch::kInt32);
  auto* row = rows.data_ptr<std::int32_t>();
  const auto* index = indices.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch_; ++i, row += 4) {
    row[0] = static_cast<std::int32_t>(index[i]);
    if (placements.empty())
      continue;
    const Placement& placement = placements[static_cast<std::size_t>(i)];
    row[1] = static_cast<std::int32_t>(placement.dy);
    row[2] = static_cast<std::int32_t>(placement.dx);
    row[3] = placement.mirrored ? 1 : 0;
  }
  placements_.copy_(rows);
}

void GpuSteps::set_factors(double rate, double first_correction, double second_correction) {
  factors_.copy_(torch::tensor({static_cast<float>(rate), static_cast<float>(first_correction),
                                static_cast<float>(second_correction)}));
}

Batch GpuSteps::load() const {
  const Split& split = data_->train;
  const gpu::ImageShape shape{.channels = split.images.size(1),
                              .height = split.images.size(2),
                              .width = split.images.size(3)};
  Batch batch;
  batch.inputs = {at::empty({batch_, shape.channels, shape.height, shape.width}, scale_.options())};
  batch.y = at::empty({batch_}, split.labels.options());
  static_assert(sizeof(gpu::Placement) == 4 * sizeof(std::int32_t));
  if constexpr (gpu::kCompiled)
    gpu::load_batch(
        split.images.data_ptr<std::uint8_t>(), split.labels.data_ptr<std::int64_t>(), shape,
        reinterpret_cast<const gpu::Placement*>(placements_.data_ptr<std::int32_t>()), batch_,
        scale_.data_ptr<float>(), offset_.data_ptr<float>(), batch.inputs[0].data_ptr<float>(),
        batch.y.data_ptr<std::int64_t>(), gpu::current_stream());
  return batch;
}

void GpuSteps::relative_adam(std::span<const Tensor> parameters, std::span<Tensor> first,
                             std::span<Tensor> second, double beta1, double beta2,
                             const TrainingOptions& options) {
  const Updates updates = updates_of(parameters, first, second);
  if (!scratch_.defined()) {
    std::int64_t rows = 0;
    for (const Tensor& parameter : parameters)
      rows += (parameter.dim() > 1 ? parameter.size(0) : 1) + 1;
    scratch_ = at::empty({rows}, factors_.options());
  }
  if constexpr (gpu::kCompiled)
    gpu::relative_adam(updates.parameters,
                       {.beta1 = static_cast<float>(beta1),
                        .beta2 = static_cast<float>(beta2),
                        .weight_decay = static_cast<float>(options.weight_decay),
                        .clip = static_cast<float>(options.weight_clip)},
                       factors_of(factors_), scratch_.data_ptr<float>(), gpu::current_stream());
}

void GpuSteps::sgd(std::span<const Tensor> parameters, std::span<Tensor> momentum, double factor,
                   double weight_decay) {
  const Updates updates = updates_of(parameters, momentum, {});
  if constexpr (gpu::kCompiled)
    gpu::sgd(
        updates.parameters,
        {.momentum = static_cast<float>(factor), .weight_decay = static_cast<float>(weight_decay)},
        factors_of(factors_), gpu::current_stream());
}

}  // namespace tessera::nn::detail
