// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/plan/path.h"

namespace tessera::nn::detail {

// All output channels of a layer that one unit computes in one format.
struct SplitPart {
  plan::Part first;  // the first of the path's parts that belong to it
  std::vector<std::int64_t> channels;
  std::unique_ptr<LayerKernel> kernel;  // null: float32
};

// A path's channels by unit and format, in the order of their first parts; kernels are left to the
// caller.
std::vector<SplitPart> split_parts(const plan::Path& path);

// A layer in several parts, each of which runs on its own output channels as if they were a layer:
// the whole is their outputs, put back in the channels' order. Noisy (a NoisyKernel) when a part
// is; every part draws from a stream of its own. Of a grouped convolution, a part has whole groups.
std::unique_ptr<LayerKernel> make_split_kernel(std::vector<SplitPart> parts, torch::Device device);

// The parts of a kernel from make_split_kernel(), null for any other.
const std::vector<SplitPart>* parts_of(const LayerKernel& kernel);

}  // namespace tessera::nn::detail
