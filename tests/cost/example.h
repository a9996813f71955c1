// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tessera/core/rng.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/workload.h"
#include "tessera/plan/mapping.h"

namespace tessera::cost::testing {

// Round numbers, so that costs can be worked out by hand: unit "pcm" with tiles of 16x8, unit "npu"
// with fp16, int8 and int4/a8 and its weights in "weights".
hw::Platform small_platform();

// [3,6,6] -> conv1 (10 filters of 3x3) -> relu -> flatten -> fc (5 outputs).
ir::Workload two_layers();

// A convolution's row of a workload; "same" padding.
ir::Layer conv(std::string name, ir::LayerDims dims);

// A chain of random convolutions, grouped and depthwise ones among them, with element-wise glue,
// residual additions and a pool between, and a linear layer at the end.
ir::Workload random_network(Rng& rng);
// small_platform() with random costs, rates and tile sizes; enough tiles and memory for anything.
hw::Platform random_platform(Rng& rng);

// One part over all channels.
plan::Path path(const ir::Layer& layer, std::string unit, format::NumberFormat format);

}  // namespace tessera::cost::testing
