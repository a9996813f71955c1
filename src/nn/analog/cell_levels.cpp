// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/cell_levels.h"

#include "nn/quant/fake_quantize.h"

namespace tessera::nn::detail {

torch::Tensor to_cells(const torch::Tensor& weight, int bits, const Strength& strength) {
  if (bits == 0)
    return weight;
  const std::int64_t high = (std::int64_t{1} << (bits - 1)) - 1;
  const Tensor limit = torch::full({}, static_cast<double>(high));
  const Tensor scales = along_first(
      weight_scales(weight, limit, RangeMethod::kMse, WeightGranularity::kPerChannel), weight);
  return fake_quantize(weight, {.scale = scales, .low = -limit, .high = limit}, strength);
}

}  // namespace tessera::nn::detail
