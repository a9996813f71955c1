// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "tessera/core/saturate.h"
#include "tessera/cost/nest_traffic.h"

#include "nest_view.h"

namespace tessera::cost {
namespace {

// Values in a box that are not in the same box moved back by `shift`.
std::int64_t fresh_values(std::int64_t box, const AxisVector& extent, const AxisVector& shift,
                          int axes) {
  std::int64_t overlap = 1;
  for (int a = 0; a < axes; ++a) {
    const std::int64_t left = extent[a] - std::abs(shift[a]);
    if (left <= 0)
      return box;
    overlap = saturating_multiply(overlap, left);
  }
  return saturating_subtract(box, overlap);
}

std::int64_t sliding_traffic(const LoopNestModel& model, int t, const Extents& tile,
                             std::int64_t volume, std::span<const TemporalLoop> outside) {
  const int axes = model.axes(t);
  AxisVector extent{};
  for (int a = 0; a < axes; ++a) {
    extent[a] = 1;
    for (int d = 0; d < model.dims(); ++d)
      extent[a] += (tile[d] - 1) * model.coefficient(t, a, d);
  }
  std::int64_t more = 0;  // on top of the first tile
  AxisVector first{};     // the move that a stored translation remembers
  AxisVector passed{};    // of one step of every loop so far
  for (std::size_t k = 0; k < outside.size(); ++k) {
    const TemporalLoop& loop = outside[k];
    AxisVector move{};
    for (int a = 0; a < axes; ++a) {
      const std::int64_t step = model.coefficient(t, a, loop.dim) * loop.step;
      move[a] = step - passed[a];
      passed[a] += step;
    }
    if (k == 0)
      first = move;
    const std::int64_t fresh = move == first ? fresh_values(volume, extent, move, axes) : volume;
    more = saturating_add(saturating_multiply(more, loop.bound),
                          saturating_multiply(loop.bound - 1, fresh));
  }
  return saturating_add(volume, more);
}

// Distinct values of i·a + j·b for i < n, j < m: (i, j) and (i + b/g, j - a/g) give the same one.
std::int64_t distinct_sums(std::int64_t a, std::int64_t n, std::int64_t b, std::int64_t m) {
  const std::int64_t g = std::gcd(a, b);
  return n * m - saturating_subtract(n, b / g) * saturating_subtract(m, a / g);
}

// By listing, for projections in which the axes depend on each other.
std::int64_t listed_tiles(const LoopNestModel& model, int t, const Extents& tile,
                          const Extents& spread) {
  std::vector<AxisVector> offsets{AxisVector{}};
  for (int d = 0; d < model.dims(); ++d) {
    const std::size_t before = offsets.size();
    for (std::int64_t i = 1; i < spread[d] / tile[d]; ++i) {
      for (std::size_t n = 0; n < before; ++n) {
        AxisVector offset = offsets[n];
        for (int a = 0; a < model.axes(t); ++a)
          offset[a] += i * tile[d] * model.coefficient(t, a, d);
        offsets.push_back(offset);
      }
    }
  }
  std::ranges::sort(offsets);
  return std::unique(offsets.begin(), offsets.end()) - offsets.begin();
}

// Whether instances that differ by one place, or by one row of `width`, lie `move` apart.
bool grid_meets(const std::vector<AxisVector>& offsets, std::size_t width, const AxisVector& move) {
  const auto meets = [&](const AxisVector& a, const AxisVector& b) {
    bool forth = true;
    bool back = true;
    for (int axis = 0; axis < kMaxAxes; ++axis) {
      forth = forth && b[axis] - a[axis] == move[axis];
      back = back && a[axis] - b[axis] == move[axis];
    }
    return forth || back;
  };
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if ((i % width + 1 < width && i + 1 < offsets.size() && meets(offsets[i], offsets[i + 1])) ||
        (i + width < offsets.size() && meets(offsets[i], offsets[i + width])))
      return true;
  }
  return false;
}

// The same where all instances stand in one line: a neighbour is one step of some loop away, all
// loops inside it wrapping.
bool line_meets(const LoopNestModel& model, int t, Extents extent, const LoopBlock& x,
                const LoopBlock& y, const AxisVector& move) {
  AxisVector wrapped{};
  for (const LoopBlock* block : {&x, &y}) {
    for (int i = 0; i < block->count; ++i) {
      const int dim = block->dim[i];
      bool forth = true;
      bool back = true;
      for (int a = 0; a < model.axes(t); ++a) {
        const std::int64_t step = model.coefficient(t, a, dim) * extent[dim];
        const std::int64_t way = step - wrapped[a];
        forth = forth && way == move[a];
        back = back && way == -move[a];
        wrapped[a] += (block->bound[i] - 1) * step;
      }
      if (forth || back)
        return true;
      extent[dim] *= block->bound[i];
    }
  }
  return false;
}

}  // namespace

std::vector<AxisVector> instance_offsets(const LoopNestModel& model, int t, const Extents& tile,
                                         const LoopBlock& x, const LoopBlock& y) {
  std::vector<AxisVector> offsets{AxisVector{}};
  Extents extent = tile;
  for (const LoopBlock* block : {&x, &y}) {
    for (int i = 0; i < block->count; ++i) {
      const int dim = block->dim[i];
      const std::size_t before = offsets.size();
      for (int n = 1; n < block->bound[i]; ++n) {
        for (std::size_t k = 0; k < before; ++k) {
          AxisVector offset = offsets[k];
          for (int a = 0; a < model.axes(t); ++a)
            offset[a] += n * extent[dim] * model.coefficient(t, a, dim);
          offsets.push_back(offset);
        }
      }
      extent[dim] *= block->bound[i];
    }
  }
  return offsets;
}

std::int64_t grid_width(const LoopNestModel& model, int s, const LoopBlock& x) {
  std::int64_t used = 1;
  for (int i = 0; i < x.count; ++i)
    used *= x.bound[i];
  return std::max(used, model.unit().fanout_x(s));
}

bool links_can_fire(const LoopNestModel& model, int t, int s, const Extents& tile,
                    const LoopBlock& x, const LoopBlock& y, std::span<const TemporalLoop> outside) {
  // MACs hold nothing that a neighbour could ask for.
  if (model.is_simple(t) || s == 0 || outside.empty())
    return false;
  const std::int64_t width = grid_width(model, s, x);
  std::int64_t instances = 1;
  for (const LoopBlock* block : {&x, &y}) {
    for (int i = 0; i < block->count; ++i)
      instances *= block->bound[i];
  }
  const bool in_rows = width > 1 && width < instances;
  std::vector<AxisVector> offsets;
  if (in_rows)
    offsets = instance_offsets(model, t, tile, x, y);
  const bool still = (model.relevant(t) >> outside[0].dim & 1U) == 0;
  AxisVector passed{};
  for (const TemporalLoop& loop : outside) {
    AxisVector move{};
    for (int a = 0; a < model.axes(t); ++a) {
      const std::int64_t step = model.coefficient(t, a, loop.dim) * loop.step;
      move[a] = step - passed[a];
      passed[a] += step;
    }
    // A tile that stays where it is asks for nothing, unless the model forgot that it was there.
    if (still && move == AxisVector{})
      continue;
    if (in_rows ? grid_meets(offsets, static_cast<std::size_t>(width), move)
                : line_meets(model, t, tile, x, y, move))
      return true;
  }
  return false;
}

std::int64_t tile_traffic(const LoopNestModel& model, int t, const Extents& tile,
                          std::int64_t volume, std::span<const TemporalLoop> outside) {
  if (!model.is_simple(t))
    return sliding_traffic(model, t, tile, volume, outside);
  // Loops that do not move the tile cost nothing while they are innermost.
  const std::uint32_t relevant = model.relevant(t);
  std::size_t k = 0;
  while (k < outside.size() && (relevant >> outside[k].dim & 1U) == 0)
    ++k;
  for (; k < outside.size(); ++k)
    volume = saturating_multiply(volume, outside[k].bound);
  return volume;
}

std::int64_t distinct_tiles(const LoopNestModel& model, int t, const Extents& tile,
                            const Extents& spread) {
  std::int64_t product = 1;
  std::uint32_t seen = 0;
  for (int a = 0; a < model.axes(t); ++a) {
    std::array<std::int64_t, 2> step{1, 1};
    std::array<std::int64_t, 2> bound{1, 1};
    int terms = 0;
    for (int d = 0; d < model.dims(); ++d) {
      const std::int64_t coefficient = model.coefficient(t, a, d);
      if (coefficient == 0 || spread[d] == tile[d])
        continue;
      if (terms == 2 || (seen >> d & 1U) != 0)
        return listed_tiles(model, t, tile, spread);
      seen |= 1U << d;
      step[terms] = coefficient * tile[d];
      bound[terms++] = spread[d] / tile[d];
    }
    product *= terms < 2 ? bound[0] : distinct_sums(step[0], bound[0], step[1], bound[1]);
  }
  return product;
}

}  // namespace tessera::cost
