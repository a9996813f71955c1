// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/evaluate.h"

#include <algorithm>

#include <torch/autograd.h>

#include "tessera/core/error.h"

namespace tessera::nn {

double accuracy(const Network& network, LayerRunner& runner, const Split& split,
                const Preprocessing& preprocessing, std::int64_t batch) {
  TESSERA_CHECK(split.size() > 0, "no images");
  if (batch == 0)
    batch = network.device().is_cuda() ? kGpuEvaluationBatch : kEvaluationBatch;
  const torch::InferenceMode inference;
  // Summed on the device: reading it back once lets a GPU run ahead.
  Tensor correct = torch::zeros({}, torch::TensorOptions(torch::kInt64).device(network.device()));
  for (std::int64_t begin = 0; begin < split.size(); begin += batch) {
    const std::int64_t end = std::min(begin + batch, split.size());
    const Split part = to_device(part_of(split, begin, end), network.device());
    const Tensor outputs = network.forward(network_inputs(part, preprocessing), runner);
    correct += (class_scores(outputs, part.labels).argmax(1) == part.labels).sum();
  }
  return static_cast<double>(correct.item<std::int64_t>()) /
         static_cast<double>(split.labels.numel());
}

}  // namespace tessera::nn
