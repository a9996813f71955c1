// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/search/ask_tell.h"

namespace tessera::search {

// How parents are chosen and offspring made, and how a front that is too long is cut.
enum class Nsga2Operators {
  // Deb et al. (IEEE Trans. Evol. Comp. 6, 2002): binary tournaments by front and crowding
  // distance;
  // simulated binary crossover and polynomial mutation of real variables. Choices: uniform
  // crossover
  // by blocks; a mutated one is drawn anew, or steps to a neighbour half of the time if it is
  // ordered.
  kStandard,
  // Klhufek et al. (DDECS 2024), as their published code has it, for spaces of choices: any two
  // parents; each block comes from either, or (p = 0.05) takes the last choice of all its
  // variables,
  // 8 bits; one block in ten offspring is drawn anew. A front is cut one by one, with crowding
  // distances relative to `crowding_scale` taken anew each time.
  kKlhufek2024
};

struct Nsga2Options {
  std::int64_t population = 100;  // even
  Nsga2Operators operators = Nsga2Operators::kStandard;
  double crossover_rate = 0.9;     // of a pair of parents
  double crossover_index = 15;     // of simulated binary crossover; larger: closer to the parents
  double mutations = 1;            // expected number per offspring
  double mutation_index = 20;      // of polynomial mutation
  std::vector<Genome> start = {};  // of the first population; the rest is drawn uniformly
  std::optional<plan::Point> crowding_scale = std::nullopt;  // of kKlhufek2024
};

// The elitist non-dominated sorting genetic algorithm with constrained domination. Each generation
// draws from a stream of its own, so that the state is the population and its number. Points that
// stand in the population already are drawn again where the space allows.
class Nsga2 final : public Searcher {
 public:
  Nsga2(SearchSpace space, Nsga2Options options, const Rng& rng);

  std::vector<Genome> ask() override;
  void tell(std::span<const Evaluation> values) override;
  nlohmann::ordered_json state() const override;
  void restore(const nlohmann::ordered_json& state) override;

  // After tell(): the survivors, best first.
  const std::vector<Individual>& population() const { return population_; }
  std::int64_t generation() const { return generation_; }  // generations told

 private:
  std::vector<Genome> first_generation() const;
  std::vector<Genome> offspring() const;
  void select(std::vector<Individual> all);
  void rate();

  SearchSpace space_;
  Nsga2Options options_;
  Rng rng_;
  std::int64_t generation_ = 0;
  std::vector<Individual> population_;
  std::vector<int> rank_;         // of the population
  std::vector<double> crowding_;  // of the population, within its front
  std::vector<Genome> asked_;
};

// Crowding distance of each point of one front: for each objective the distance between its
// neighbours, relative to the front's extent; infinite at the ends.
std::vector<double> crowding_distances(std::span<const plan::Point> front);

}  // namespace tessera::search
