// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "tessera/cost/loop_nest.h"
#include "tessera/search/map_space.h"

namespace tessera::search {

// What is minimized: energy^e · cycles^d · accesses^l, the last of the outermost level. Exponents
// are at least 0. Between nests of equal value the one of less energy, then the first found.
struct NestObjective {
  double energy = 1;
  double delay = 1;
  double last_level = 0;

  double value(const cost::NestSummary& summary) const;
};
// "energy", "delay", "edp", "lla", or a product of powers such as "energy^2*delay". Throws
// UsageError that lists the names.
NestObjective parse_nest_objective(const std::string& text);

enum class NestSearch {
  kBranchAndBound,  // the optimum with a proof, or the best so far with a gap
  kPruned,          // every valid nest once: as exhaustive, without what cannot be valid
  kExhaustive,      // every element of the map space
  kRandom           // draws from it
};

struct NestSearchOptions {
  NestSearch search = NestSearch::kBranchAndBound;
  NestObjective objective;
  int threads = 1;  // the result does not depend on it
  // Draws of kRandom.
  std::int64_t samples = 10'000;
  std::uint64_t seed = 1;
  // Either ends the search with the best so far, which then depends on the machine's speed.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::stop_token stop;
  // Nests known beforehand; good ones make the search shorter. The result may be one of them.
  std::vector<cost::CompactNest> hints;
};

struct ScoredNest {
  cost::CompactNest nest;
  cost::NestSummary summary;
};

struct NestSearchResult {
  std::optional<ScoredNest> best;
  // (best - proven lower bound) / best in the objective; 0 when proven, 1 when nothing is known.
  double gap = 1;
  std::int64_t evaluated = 0;  // complete nests looked at
  std::int64_t valid = 0;      // of those, the ones that run
  double seconds = 0;
  // Rejections by reason and level, "capacity at shared_glb" (exhaustive and random alone).
  std::map<std::string, std::int64_t> rejections;
};

// The best loop nest of the space under the widths of `pricing`.
NestSearchResult find_nest(const MapSpace& space, const cost::Pricing& pricing,
                           const NestSearchOptions& options);

// All nests that no other beats in both energy and cycles, by ascending cycles; of equal ones the
// first found. Complete unless the deadline or the stop token ended it (gap above 0).
struct NestFront {
  std::vector<ScoredNest> nests;
  bool complete = false;
  double seconds = 0;
};
NestFront find_nest_front(const MapSpace& space, const cost::Pricing& pricing,
                          const NestSearchOptions& options);

}  // namespace tessera::search
