// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "nest_view.h"

namespace tessera::cost {
namespace {

// A piece of a tensor: what is new in a box at `position` after it moved by `move`, or the whole
// box.
struct Piece {
  AxisVector position{};
  std::optional<AxisVector> move;  // none: the whole box
  std::int64_t size = 0;

  bool operator==(const Piece&) const = default;
};

class Walk {
 public:
  Walk(const LoopNestModel& model, const NestView& view, int tensor)
      : model_(model), view_(view), tensor_(tensor), axes_(model.axes(tensor)) {
    for (int s = 0; s < view.levels; ++s)
      boundaries_[s + 1].extent = extents(view.tile[s]);
    boundaries_[0].extent = extents(view.unit);
    for (int s = 0; s < view.levels; ++s) {
      boundaries_[s].offsets = instance_offsets(model, tensor, view.tile_below(s),
                                                view.nest.levels[s].x, view.nest.levels[s].y);
      boundaries_[s].width = static_cast<std::size_t>(grid_width(model, s, view.nest.levels[s].x));
    }
  }

  LinkedTraffic run() {
    loops_outside(view_.loop_count, view_.levels - 1, AxisVector{}, 1);
    return traffic_;
  }

 private:
  // The border between level s and what its spatial loops feed; index s + 1 of the tile of level s,
  // so that 0 is the border of the MACs.
  struct Boundary {
    AxisVector extent{};
    std::vector<AxisVector> offsets;  // of every instance
    std::size_t width = 1;            // of the grid that instances stand in, row by row
    bool visited = false;
    AxisVector position{};
    std::optional<AxisVector> stored;
    std::vector<Piece> last;  // of every instance, at the step before
  };

  AxisVector extents(const Extents& extent) const {
    AxisVector result{};
    for (int a = 0; a < axes_; ++a) {
      result[a] = 1;
      for (int d = 0; d < view_.dims; ++d)
        result[a] += (extent[d] - 1) * model_.coefficient(tensor_, a, d);
    }
    return result;
  }

  // Runs the temporal loops below index `k` that belong to level `s` or further in.
  void loops_outside(int k, int s, const AxisVector& position, double weight) {
    const int innermost = view_.first_outside(s - 1);
    if (k == innermost) {
      visit(s, position, weight);
      if (s > 0)
        loops_outside(view_.first_outside(s - 1), s - 1, position, weight);
      return;
    }
    const TemporalLoop& loop = view_.loops[k - 1];
    loops_outside(k - 1, s, position, weight);
    AxisVector moved = position;
    const AxisVector step = view_.shift(model_, tensor_, loop.dim, loop.step);
    for (int a = 0; a < axes_; ++a)
      moved[a] += step[a];
    loops_outside(k - 1, s, moved, weight * static_cast<double>(loop.bound - 1));
  }

  Piece next_piece(Boundary& boundary, const AxisVector& position, bool is_mac) const {
    Piece piece{position, std::nullopt, 1};
    for (int a = 0; a < axes_; ++a)
      piece.size *= boundary.extent[a];
    if (boundary.visited && !is_mac) {
      AxisVector move{};
      for (int a = 0; a < axes_; ++a)
        move[a] = position[a] - boundary.position[a];
      if (!boundary.stored || *boundary.stored == move) {
        std::int64_t overlap = 1;
        for (int a = 0; a < axes_; ++a)
          overlap *= std::max<std::int64_t>(boundary.extent[a] - std::abs(move[a]), 0);
        if (overlap > 0) {
          piece.size -= overlap;
          piece.move = move;
        }
        boundary.stored = move;
      } else {
        boundary.stored.reset();
      }
    }
    boundary.visited = true;
    boundary.position = position;
    return piece;
  }

  // One step of the border below level `s`'s loops.
  void visit(int s, const AxisVector& position, double weight) {
    Boundary& boundary = boundaries_[s];
    const Piece piece = next_piece(boundary, position, s == 0);
    const std::size_t count = boundary.offsets.size();
    if (count == 1) {
      const double moved = weight * static_cast<double>(piece.size);
      traffic_.accesses[s] += moved;
      traffic_.received[s] += moved;
      return;
    }
    std::vector<Piece> pieces(count, piece);
    for (std::size_t i = 0; i < count; ++i) {
      for (int a = 0; a < axes_; ++a)
        pieces[i].position[a] += boundary.offsets[i][a];
    }
    share_out(s, boundary, pieces, piece.size, weight);
    boundary.last = std::move(pieces);
  }

  bool from_neighbour(const Boundary& boundary, const Piece& wanted, std::size_t i) const {
    const std::size_t x = i % boundary.width;
    const auto meets = [&](std::size_t j) {
      return j < boundary.last.size() && boundary.last[j] == wanted;
    };
    return (x > 0 && meets(i - 1)) || (x + 1 < boundary.width && meets(i + 1)) ||
           (i >= boundary.width && meets(i - boundary.width)) || meets(i + boundary.width);
  }

  void share_out(int s, const Boundary& boundary, const std::vector<Piece>& pieces,
                 std::int64_t size, double weight) {
    // Offsets tell equal pieces apart, since all have one shape.
    std::map<AxisVector, std::int64_t> all;
    std::map<AxisVector, std::int64_t> unmet;
    std::int64_t met = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ++all[pieces[i].position];
      if (s > 0 && !boundary.last.empty() && size > 0 && from_neighbour(boundary, pieces[i], i))
        ++met;
      else
        ++unmet[pieces[i].position];
    }
    const double values = weight * static_cast<double>(size);
    const bool use_links = unmet.size() < all.size();
    traffic_.accesses[s] += values * static_cast<double>(use_links ? unmet.size() : all.size());
    const auto direct = static_cast<std::int64_t>(pieces.size()) - (use_links ? met : 0);
    traffic_.received[s] += values * static_cast<double>(direct);
    if (use_links)
      traffic_.links[s] += values * static_cast<double>(met);
  }

  const LoopNestModel& model_;
  const NestView& view_;
  int tensor_;
  int axes_;
  std::array<Boundary, kMaxLevels + 1> boundaries_;
  LinkedTraffic traffic_;
};

}  // namespace

LinkedTraffic walk_with_links(const LoopNestModel& model, const NestView& view, int tensor) {
  return Walk(model, view, tensor).run();
}

}  // namespace tessera::cost
