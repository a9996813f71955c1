// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/nn/data/dataset.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

// Images of one evaluation batch. On a CPU: large enough to keep the cores busy, small enough that
// a layer's activations stay in their caches. On a GPU: enough that kernels outlast their launches.
constexpr std::int64_t kEvaluationBatch = 250;
constexpr std::int64_t kGpuEvaluationBatch = 1000;

// Share of labels, 0 to 1, that have the highest of the network's scores (top-1). Runs in
// the network's present mode (training or not) and without gradients, on the network's device; the
// split may lie elsewhere. batch 0: as suits the device. REQUIRES: images.
double accuracy(const Network& network, LayerRunner& runner, const Split& split,
                const Preprocessing& preprocessing, std::int64_t batch = 0);

}  // namespace tessera::nn
