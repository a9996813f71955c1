// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/tile_split.h"

#include <algorithm>

#include "tessera/core/error.h"

namespace tessera::nn::detail {
namespace {

// Where ceil(size / max) pieces begin whose sizes differ by at most 1, larger ones first, and the
// end. The same cut as cost::even_split's.
std::vector<std::int64_t> even_cuts(std::int64_t size, std::int64_t max) {
  const std::int64_t pieces = (size + max - 1) / max;
  std::vector<std::int64_t> begins;
  for (std::int64_t i = 0; i <= pieces; ++i)
    begins.push_back(i * (size / pieces) + std::min(i, size % pieces));
  return begins;
}

}  // namespace

TileSplit::TileSplit(const TileSpec& tile, const Tensor& weight)
    : outputs_(weight.size(0)), channels_(weight.size(1)), is_linear_(weight.dim() == 2) {
  TESSERA_CHECK(tile.rows > 0 && tile.columns > 0, "tile of {} × {}", tile.rows, tile.columns);
  if (!is_linear_)
    kernel_ = weight.size(2) * weight.size(3);
  begins_ = even_cuts(channels_ * kernel_, tile.rows);
  const std::vector<std::int64_t> columns = even_cuts(outputs_, tile.columns);
  for (std::size_t i = 0; i + 1 < columns.size(); ++i)
    column_blocks_.push_back(columns[i + 1] - columns[i]);
}

std::int64_t TileSplit::first_channel(std::int64_t p) const {
  return begins_[static_cast<std::size_t>(p)] / kernel_;
}

std::int64_t TileSplit::last_channel(std::int64_t p) const {
  return (begins_[static_cast<std::size_t>(p) + 1] + kernel_ - 1) / kernel_;
}

Tensor TileSplit::input_piece(const Tensor& x, std::int64_t p, std::int64_t groups) const {
  if (pieces() == 1)
    return x;
  const std::int64_t first = first_channel(p);
  const std::int64_t count = last_channel(p) - first;
  if (is_linear_)
    return x.narrow(-1, first, count);
  if (groups == 1)
    return x.narrow(1, first, count);
  const std::int64_t n = x.size(0);
  return x.reshape({n, groups, channels_, x.size(2), x.size(3)})
      .narrow(2, first, count)
      .reshape({n, groups * count, x.size(2), x.size(3)});
}

Tensor TileSplit::weight_piece(const Tensor& weight, std::int64_t p) const {
  if (pieces() == 1)
    return weight;
  const std::int64_t first = first_channel(p);
  const std::int64_t count = last_channel(p) - first;
  const Tensor piece = weight.narrow(1, first, count);
  const std::int64_t skip = begins_[static_cast<std::size_t>(p)] - first * kernel_;
  const std::int64_t size =
      begins_[static_cast<std::size_t>(p) + 1] - begins_[static_cast<std::size_t>(p)];
  if (size == count * kernel_)
    return piece;
  Tensor own_rows = at::zeros({count * kernel_}, weight.options().requires_grad(false));
  own_rows.narrow(0, skip, size).fill_(1);
  return piece * own_rows.reshape({1, count, weight.size(2), weight.size(3)});
}

std::int64_t TileSplit::rows(std::int64_t p) const {
  return begins_[static_cast<std::size_t>(p) + 1] - begins_[static_cast<std::size_t>(p)];
}

Tensor TileSplit::row_positions(const Tensor& piece, std::int64_t p) const {
  const std::int64_t first = first_channel(p) * kernel_ - begins_[static_cast<std::size_t>(p)];
  const std::int64_t count = piece.numel() / piece.size(0);
  const Tensor rows = torch::arange(first, first + count, piece.options().requires_grad(false)) /
                      static_cast<double>(this->rows(p));
  return rows.clamp_(0, 1).reshape(piece.sizes().slice(1));
}

Tensor TileSplit::scale(const Tensor& piece, bool column_scaling) const {
  Tensor largest = piece.detach().abs().flatten(1).amax(1).clamp_min_(1e-7);
  if (column_scaling)
    return largest;
  std::vector<Tensor> blocks;
  for (const Tensor& block : largest.split_with_sizes(column_blocks_))
    blocks.push_back(block.amax().expand({block.size(0)}));
  return at::cat(blocks);
}

Tensor TileSplit::scale_of_each(const std::vector<Tensor>& scales, const Tensor& weight) const {
  std::vector<Tensor> parts;
  for (std::size_t p = 0; p < scales.size(); ++p)
    parts.push_back(scales[p].unsqueeze(1).expand({outputs_, begins_[p + 1] - begins_[p]}));
  return at::cat(parts, 1).reshape(weight.sizes());
}

}  // namespace tessera::nn::detail
