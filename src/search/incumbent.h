// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tessera/search/mapper.h"

#include "node.h"

namespace tessera::search {

// What a search has found so far: the best nest, or the front of energy and cycles.
class Incumbent {
 public:
  enum class Goal { kBest, kFront };

  Incumbent(Goal goal, const NestObjective& objective) : goal_(goal), objective_(objective) {}

  // Nothing below the bound can be taken.
  bool refuses(const NestBound& bound) const;
  // Takes the nest if it is better than what is there; on a front, drops what it beats.
  bool offer(const cost::CompactNest& nest, const cost::NestSummary& summary);
  void merge(const Incumbent& other);

  const std::vector<ScoredNest>& nests() const { return nests_; }
  // The objective at the bound.
  double value(const NestBound& bound) const;

 private:
  Goal goal_;
  NestObjective objective_;
  double best_value_ = 0;  // of the best nest
  std::vector<ScoredNest> nests_;
};

// Runs work(i) for i in [0, count) on up to `threads` threads; work must not throw for other
// reasons than bugs, and the first exception is thrown again here.
void for_each_index(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

// True once the deadline has passed or a stop was asked for.
bool must_stop(const NestSearchOptions& options);

struct BranchAndBoundResult {
  Incumbent incumbent;
  double open_value = 0;  // least objective that is not excluded; infinity: all is
  std::int64_t evaluated = 0;
  std::int64_t valid = 0;
};
// With `prune` off, bounds refuse nothing, so that every valid nest is met once.
BranchAndBoundResult branch_and_bound(const MapSpace& space, const cost::Pricing& pricing,
                                      const NestSearchOptions& options, Incumbent::Goal goal,
                                      bool prune);

}  // namespace tessera::search
