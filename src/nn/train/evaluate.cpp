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
    const Tensor images = split.images.slice(0, begin, end).to(network.device());
    const Tensor labels = split.labels.slice(0, begin, end).to(network.device());
    const Tensor outputs = network.forward(normalize(images, preprocessing), runner);
    correct += (outputs.flatten(1).argmax(1) == labels).sum();
  }
  return static_cast<double>(correct.item<std::int64_t>()) / static_cast<double>(split.size());
}

}  // namespace tessera::nn
