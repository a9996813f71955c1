// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/cost/nest_traffic.h"
#include "tessera/search/map_space.h"

namespace tessera::search {

// No nest below a node can do better than this in any of the three.
struct NestBound {
  double energy_pj = 0;
  double cycles = 0;
  double last_level_accesses = 0;
};

// A nest whose levels from the outermost down to some level are decided. Traffic between decided
// levels is known exactly: it depends on a tile and the loops outside it, and on nothing inside.
struct NestNode {
  cost::Extents rest{};        // of each dimension, what the open levels have to cover
  std::int64_t instances = 1;  // of the next level
  double energy_pj = 0;        // of the traffic that is known
  double last_level_accesses = 0;
  NestBound bound;
  // Words per instance that are known.
  std::array<double, cost::kMaxLevels> reads{};
  std::array<double, cost::kMaxLevels> writes{};
  // Of each tensor: the innermost decided level that keeps it (-1: none), and what is known of the
  // traffic that it will have to serve.
  struct Open {
    int parent = -1;
    std::int64_t instances = 1;  // of the parent
    std::int64_t partition = 0;  // of the parent
    std::int64_t distinct = 1;   // different tiles under one parent, of the decided fan-outs since
    std::int64_t plain = 1;      // the same, counting dimensions without sliding windows alone
    std::int64_t fanout = 1;     // of those fan-outs
    bool linked = false;         // a tile may come from a neighbour: `distinct` is no lower bound
  };
  std::array<Open, cost::kMaxTensors> open;
  std::array<std::int64_t, cost::kMaxTensors> partition{};  // of the innermost decided tile
};

// Makes the children of nodes and bounds them; docs/loopnest_model.md, B1 to B5. Holds the path of
// one worker.
class NestBrancher {
 public:
  struct Child {
    NestNode node;
    cost::CompactNest::Level level;
  };

  // Without bounds, those of nodes stay 0.
  NestBrancher(const MapSpace& space, const cost::Pricing& pricing, bool bounds);

  // The root for one choice of kept tensors per level; false when a tile does not fit.
  bool start(std::int64_t keep, NestNode& root);
  // Takes the outer levels of another path.
  void restore(const cost::CompactNest& nest, int decided);
  // All children of `node`, whose levels below `s` + 1 are open, that `refuse(bound)` lets pass, in
  // the order of their generation. Ends early, without the rest, once `halt` is set.
  template <typename Refuse>
  void expand(int s, const NestNode& node, const Refuse& refuse, const bool& halt,
              std::vector<Child>& children);
  // Goes down to a child of level `s`, which leaves `rest` to the levels below; leave() comes back.
  void enter(int s, const cost::CompactNest::Level& level, const cost::Extents& rest);
  std::size_t loop_mark() const { return loop_begin_; }
  void leave(std::size_t mark) { loop_begin_ = mark; }

  const cost::CompactNest& nest() const { return nest_; }
  const MapSpace& space() const { return space_; }

 private:
  using Factors = std::array<std::int64_t, cost::kMaxDims>;
  struct Inside {
    bool free = false;
    std::int64_t fixed = 1;
  };
  // Rates of one level and tensor, per value: the least that an access can cost.
  struct Rate {
    double read_pj = 0;
    double write_pj = 0;
    double words = 1;  // per value
  };

  const MapSpace::Place& place(int s, bool temporal) const {
    return temporal ? space_.levels()[s].temporal : space_.levels()[s].spatial;
  }
  std::span<const cost::TemporalLoop> outside() const {
    return {loops_.data() + loop_begin_, loops_.size() - loop_begin_};
  }
  template <typename Visit>
  void each_factors(int s, bool temporal, const cost::Extents& rest, const Visit& visit);
  void push_loops(const cost::LoopBlock& temporal, const cost::Extents& rest);
  void pop_loops(int count) { loop_begin_ += static_cast<std::size_t>(count); }

  bool fits(int s, const cost::Extents& tile) const;
  std::int64_t words(std::int64_t values, int s, int t) const;
  double energy(std::int64_t words, std::int64_t instances, int s, double pj) const;
  bool decide_spatial(int s, const Factors& factors, const NestNode& node, Child& child);
  void serve(int t, int child, std::int64_t traffic, NestNode& node) const;
  void set_bound(int next_block, NestNode& node) const;
  double open_energy(int t, int next_block, const NestNode& node, double& parent_words,
                     double& parent_writes) const;
  double least_traffic(int t, const cost::Extents& tile) const;
  double least_distinct(int t, int block, const cost::Extents& rest) const;
  std::int64_t most_used(int block, const cost::Extents& rest) const;

  const MapSpace& space_;
  const cost::LoopNestModel& model_;
  const cost::Pricing& pricing_;
  bool bounds_;
  int dims_;
  int tensors_;
  int levels_;
  double macs_;
  std::vector<std::vector<std::int64_t>> divisors_;  // of each dimension's bound
  // What the places inside spatial (0) and temporal (1) loops of a level can cover.
  std::array<std::array<std::array<Inside, cost::kMaxDims>, 2>, cost::kMaxLevels> inside_;
  std::array<std::array<Rate, cost::kMaxTensors>, cost::kMaxLevels> rates_;
  std::array<int, cost::kMaxTensors> innermost_{};  // level that keeps the tensor
  std::array<int, cost::kMaxTensors> outermost_{};
  cost::CompactNest nest_;
  std::array<cost::TemporalLoop, cost::kMaxLevels * cost::kMaxDims> loops_;
  std::size_t loop_begin_ = loops_.size();  // loops grow from the back: inner to outer
};

template <typename Visit>
void NestBrancher::each_factors(int s, bool temporal, const cost::Extents& rest,
                                const Visit& visit) {
  Factors factors;
  factors.fill(1);
  const MapSpace::Place& here = place(s, temporal);
  const auto fill = [&](const auto& self, int d) -> void {
    if (d == dims_) {
      visit(factors);
      return;
    }
    const MapSpace::Slot& slot = here.slot[d];
    const Inside& inside = inside_[s][temporal ? 1 : 0][d];
    for (const std::int64_t f : divisors_[d]) {
      if (f > rest[d] || (slot.free && f > slot.at_most))
        break;
      if (!slot.free && f != slot.fixed)
        continue;
      if (rest[d] % f != 0)
        continue;
      const std::int64_t left = rest[d] / f;
      if (left % inside.fixed != 0 || (!inside.free && left != inside.fixed))
        continue;
      factors[d] = f;
      self(self, d + 1);
    }
    factors[d] = 1;
  };
  fill(fill, 0);
}

template <typename Refuse>
void NestBrancher::expand(int s, const NestNode& node, const Refuse& refuse, const bool& halt,
                          std::vector<Child>& children) {
  children.clear();
  Child child;
  each_factors(s, /*temporal=*/true, node.rest, [&](const Factors& temporal) {
    if (halt)
      return;
    std::uint32_t looped = 0;
    NestNode within = node;
    for (int d = 0; d < dims_; ++d) {
      looped |= temporal[d] > 1 ? 1U << d : 0U;
      within.rest[d] /= temporal[d];
    }
    for (const std::vector<int>& order : space_.orders(s, looped)) {
      if (halt)
        return;
      child.level = nest_.levels[s];
      child.level.temporal.count = 0;
      for (const int d : order)
        child.level.temporal.push(d, temporal[d]);
      push_loops(child.level.temporal, within.rest);
      set_bound(s, within);
      if (!refuse(within.bound)) {
        each_factors(s, /*temporal=*/false, within.rest, [&](const Factors& spatial) {
          if (decide_spatial(s, spatial, within, child) && !refuse(child.node.bound))
            children.push_back(child);
        });
      }
      pop_loops(child.level.temporal.count);
    }
  });
}

}  // namespace tessera::search
