// SPDX-License-Identifier: Apache-2.0
#pragma once

// Searches without gradients speak ask and tell: a searcher names points, its caller evaluates them
// (in parallel, from a cache, at whatever price) and tells it the results. All searchers share the
// space, the points and the driver below.

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/plan/pareto.h"

namespace tessera::search {

// Any number in [low, high].
struct RealVariable {
  double low = 0;
  double high = 1;
};
// One of `count` things, 0 … count - 1. Of ordered ones, neighbours are alike: widths in bits.
struct ChoiceVariable {
  int count = 1;
  bool ordered = false;
};
using Variable = std::variant<RealVariable, ChoiceVariable>;

struct SearchSpace {
  std::vector<Variable> variables;
  // Of each variable, ascending from 0: choices of one block belong together (a layer's widths), so
  // that crossover hands them on together. Empty: each variable is a block.
  std::vector<int> blocks = {};

  int block(std::size_t variable) const {
    return blocks.empty() ? static_cast<int>(variable) : blocks[variable];
  }
  int block_count() const;
  // Number of points when all variables are choices, saturated at INT64_MAX; INT64_MAX otherwise.
  std::int64_t size() const;
};

// A point: one value for each variable; choices are whole numbers.
using Genome = std::vector<double>;

// What a point is worth: objectives to be minimized, and how far it breaks constraints (0: none).
struct Evaluation {
  plan::Point objectives;
  double violation = 0;
  bool operator==(const Evaluation&) const = default;
};

struct Individual {
  Genome genome;
  Evaluation value;
  bool operator==(const Individual&) const = default;
};

class Searcher {
 public:
  virtual ~Searcher() = default;
  // The points to evaluate next, the same until tell(); empty when the search has come to its end.
  virtual std::vector<Genome> ask() = 0;
  // The points of the last ask() in its order. REQUIRES: finite objectives, violations >= 0.
  virtual void tell(std::span<const Evaluation> values) = 0;
  // All that decides what comes next, between tell() and ask(): a searcher of the same options that
  // read it with restore() continues to the same end. restore() throws ConfigError when the text is
  // not such a state.
  virtual nlohmann::ordered_json state() const = 0;
  virtual void restore(const nlohmann::ordered_json& state) = 0;
};

// Fronts by peeling among points that keep the constraints; those that break them come after, by
// violation, equal ones together (Deb's rule of constrained domination).
std::vector<int> constrained_ranks(std::span<const Individual> individuals);

// A point drawn uniformly.
Genome random_genome(const SearchSpace& space, Rng& rng);

// Evaluates all points on up to `threads` threads, in place. Results do not depend on the number,
// since each is a function of its point.
std::vector<Evaluation> evaluate_all(std::span<const Genome> genomes,
                                     const std::function<Evaluation(const Genome&)>& evaluate,
                                     int threads);

// All points met that keep the constraints and that no other dominates, in the order in which they
// came; of equal ones the first.
class Archive {
 public:
  // Whether the point is kept.
  bool offer(const Individual& individual);
  const std::vector<Individual>& members() const { return members_; }
  std::vector<plan::Point> points() const;

 private:
  std::vector<Individual> members_;
};

// JSON of individuals, bit for bit. from_json throws ConfigError that names `what`.
nlohmann::ordered_json to_json(std::span<const Individual> individuals);
std::vector<Individual> individuals_from_json(const nlohmann::ordered_json& json,
                                              const std::string& what);

}  // namespace tessera::search
