// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/cost/loop_nest.h"

namespace tessera::search {

// All loop nests of a model that its unit's constraints allow, as an indexable set: choices of
// which tensors each level keeps × orders of the temporal loops × splits of the dimensions into
// factors. How spatial loops are laid along X and Y is no choice of its own, since it changes no
// cost: the first layout that fits is taken.
//
// A constraint that names a dimension counts for its stand-in when the problem has the stand-in
// only: G for M, K for C. Beside M, G is free where M is. An exact factor that does not divide the
// dimension is dropped, as Timeloop does.
class MapSpace {
 public:
  // A place where a factor of a dimension may stand.
  struct Slot {
    bool free = false;
    std::int64_t fixed = 1;            // when not free
    std::int64_t at_most = INT64_MAX;  // when free
  };
  struct Place {
    std::array<Slot, cost::kMaxDims> slot;  // by dimension
    std::vector<int> inner;                 // order of dimensions at the inner end …
    std::vector<int> outer;                 // … and at the outer end; the others are free
  };
  struct Level {
    Place temporal;
    Place spatial;
    // Bit d: dimension d goes to X under the level's split; without a split both sides are tried.
    std::optional<std::uint32_t> x_dims;
    std::vector<std::uint8_t> keep_choices;  // bit t: tensor t is kept
    bool orders_matter = true;               // something further in is kept
    std::int64_t min_used = 1;               // of the fan-out
  };

  // ConfigError when the constraints contradict each other or the problem. The model must outlive
  // this.
  explicit MapSpace(const cost::LoopNestModel& model);

  const cost::LoopNestModel& model() const { return model_; }
  const std::vector<Level>& levels() const { return levels_; }

  // Number of splits of all dimensions into factors; saturates, as size() does.
  std::int64_t factorizations() const;
  std::int64_t permutations() const;  // counted as if no factor were 1
  std::int64_t keeps() const;
  std::int64_t size() const;
  // Element `index` of size(); factorizations vary slowest, keeps fastest. "fanout" or "constraint"
  // when the element cannot be built.
  Expected<cost::CompactNest, cost::Rejection> nest(std::int64_t index) const;
  // An element by its three parts.
  Expected<cost::CompactNest, cost::Rejection> nest(std::int64_t factorization,
                                                    std::int64_t permutation,
                                                    std::int64_t keep) const;

  // Lays the spatial factors of a level along X and Y; false when they do not fit.
  bool lay_out(int level, const std::array<std::int64_t, cost::kMaxDims>& factors,
               cost::CompactNest::Level& nest) const;
  // Orders of the level's temporal loops over `dims` (bit set), inner to outer; the first is the
  // canonical one.
  std::vector<std::vector<int>> orders(int level, std::uint32_t dims) const;

 private:
  struct Split {
    std::vector<int> places;  // 2 · level + (0 spatial, 1 temporal), inner to outer
    std::vector<std::vector<std::int64_t>> factors;
  };
  void resolve_factors();
  void resolve_places(int level);
  void resolve_keeps();
  void split_dimension(int dim);
  std::vector<int> free_dims(int level) const;
  std::vector<int> ranked_order(int level, std::int64_t rank) const;

  const cost::LoopNestModel& model_;
  std::vector<Level> levels_;
  std::vector<Split> splits_;  // by dimension
};

}  // namespace tessera::search
