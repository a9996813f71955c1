// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/ir/graph.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

// The network with a BatchNorm behind every convolution that computes what it computed before: its
// statistics are those of the first `images` training images. Training from nothing, or at rates as
// high, needs normalization, which a trained network has folded into its weights
// (ir::fold_batch_norm folds it again).
ir::Graph with_batch_norm(const Network& network, const Dataset& data,
                          const Preprocessing& preprocessing, std::int64_t images);

}  // namespace tessera::nn
