// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/nsga2.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "tessera/core/error.h"

#include "variation.h"

namespace tessera::search {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Draws for a point that is not there yet, before a double is let in.
constexpr int kTries = 20;

void check_genome(const SearchSpace& space, const Genome& genome) {
  TESSERA_CHECK(genome.size() == space.variables.size(), "a point of {} values for {} variables",
                genome.size(), space.variables.size());
  for (std::size_t i = 0; i < genome.size(); ++i) {
    if (const auto* choice = std::get_if<ChoiceVariable>(&space.variables[i])) {
      TESSERA_CHECK(
          genome[i] >= 0 && genome[i] < choice->count && genome[i] == std::floor(genome[i]),
          "variable {}: {} is none of {} choices", i, genome[i], choice->count);
    } else {
      const auto& real = std::get<RealVariable>(space.variables[i]);
      TESSERA_CHECK(genome[i] >= real.low && genome[i] <= real.high,
                    "variable {}: {} is outside [{}, {}]", i, genome[i], real.low, real.high);
    }
  }
}

// For each objective the distance between a point's neighbours, relative to `scale` of it.
std::vector<double> crowding(std::span<const plan::Point> front,
                             const std::function<double(std::size_t, double)>& scale) {
  std::vector<double> distance(front.size(), 0);
  if (front.empty())
    return distance;
  std::vector<std::size_t> order(front.size());
  for (std::size_t m = 0; m < front[0].size(); ++m) {
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return front[a][m] < front[b][m]; });
    distance[order.front()] = kInfinity;
    distance[order.back()] = kInfinity;
    const double extent = scale(m, front[order.back()][m] - front[order.front()][m]);
    if (extent <= 0)
      continue;
    for (std::size_t k = 1; k + 1 < order.size(); ++k)
      distance[order[k]] += (front[order[k + 1]][m] - front[order[k - 1]][m]) / extent;
  }
  return distance;
}

std::vector<plan::Point> points_of(const std::vector<Individual>& all,
                                   const std::vector<std::size_t>& which) {
  std::vector<plan::Point> points;
  points.reserve(which.size());
  for (const std::size_t i : which)
    points.push_back(all[i].value.objectives);
  return points;
}

}  // namespace

std::vector<double> crowding_distances(std::span<const plan::Point> front) {
  return crowding(front, [](std::size_t, double extent) { return extent; });
}

Nsga2::Nsga2(SearchSpace space, Nsga2Options options, const Rng& rng)
    : space_(std::move(space)), options_(std::move(options)), rng_(rng) {
  TESSERA_CHECK(options_.population >= 2 && options_.population % 2 == 0,
                "a population of {}; allowed: an even number from 2", options_.population);
  TESSERA_CHECK(space_.blocks.empty() || space_.blocks.size() == space_.variables.size(),
                "{} block numbers for {} variables", space_.blocks.size(), space_.variables.size());
  if (options_.operators == Nsga2Operators::kKlhufek2024) {
    for (const Variable& variable : space_.variables)
      TESSERA_CHECK(std::holds_alternative<ChoiceVariable>(variable), "a real variable");
  }
  for (const Genome& genome : options_.start)
    check_genome(space_, genome);
}

std::vector<Genome> Nsga2::ask() {
  if (asked_.empty())
    asked_ = generation_ == 0 ? first_generation() : offspring();
  return asked_;
}

std::vector<Genome> Nsga2::first_generation() const {
  Rng rng = rng_.split("start");
  std::vector<Genome> genomes;
  std::set<Genome> known;
  const auto size = static_cast<std::size_t>(options_.population);
  for (const Genome& genome : options_.start) {
    if (genomes.size() < size && known.insert(genome).second)
      genomes.push_back(genome);
  }
  while (genomes.size() < size) {
    Genome genome = random_genome(space_, rng);
    for (int tried = 1; tried < kTries && known.contains(genome); ++tried)
      genome = random_genome(space_, rng);
    known.insert(genome);
    genomes.push_back(std::move(genome));
  }
  return genomes;
}

std::vector<Genome> Nsga2::offspring() const {
  Rng rng = rng_.split("generation").split(static_cast<std::uint64_t>(generation_));
  std::set<Genome> known;
  for (const Individual& individual : population_)
    known.insert(individual.genome);
  const auto any = [&] { return static_cast<std::size_t>(rng.below(population_.size())); };
  const auto tournament = [&] {
    const std::size_t a = any();
    const std::size_t b = any();
    if (rank_[a] != rank_[b])
      return rank_[a] < rank_[b] ? a : b;
    return crowding_[b] > crowding_[a] ? b : a;
  };
  const auto pair_of_children = [&]() -> GenomePair {
    if (options_.operators == Nsga2Operators::kKlhufek2024) {
      const auto child = [&] {
        const std::size_t a = any();
        std::size_t b = any();
        while (b == a)
          b = any();
        return klhufek_offspring(space_, population_[a].genome, population_[b].genome, rng);
      };
      Genome first = child();
      return {std::move(first), child()};
    }
    const std::size_t a = tournament();
    const std::size_t b = tournament();
    GenomePair children =
        standard_crossover(space_, options_, {population_[a].genome, population_[b].genome}, rng);
    standard_mutation(space_, options_, children.a, rng);
    standard_mutation(space_, options_, children.b, rng);
    return children;
  };
  std::vector<Genome> genomes;
  int tried = 0;
  while (genomes.size() < population_.size()) {
    GenomePair children = pair_of_children();
    for (Genome* child : {&children.a, &children.b}) {
      if (genomes.size() == population_.size())
        break;
      if (known.contains(*child) && tried < kTries) {
        ++tried;
        continue;
      }
      tried = 0;
      known.insert(*child);
      genomes.push_back(std::move(*child));
    }
  }
  return genomes;
}

void Nsga2::tell(std::span<const Evaluation> values) {
  TESSERA_CHECK(values.size() == asked_.size() && !values.empty(),
                "{} values for {} points that were asked for", values.size(), asked_.size());
  std::vector<Individual> all = std::move(population_);
  for (std::size_t i = 0; i < values.size(); ++i) {
    TESSERA_CHECK(values[i].violation >= 0, "a violation of {}", values[i].violation);
    for (const double objective : values[i].objectives)
      TESSERA_CHECK(std::isfinite(objective), "an objective of {}", objective);
    all.push_back({std::move(asked_[i]), values[i]});
  }
  asked_.clear();
  ++generation_;
  select(std::move(all));
}

void Nsga2::select(std::vector<Individual> all) {
  const std::vector<int> ranks = constrained_ranks(all);
  const auto size = std::min(static_cast<std::size_t>(options_.population), all.size());
  const bool klhufek = options_.operators == Nsga2Operators::kKlhufek2024;
  const auto extent = [&](std::size_t objective, double own) {
    return klhufek && options_.crowding_scale ? options_.crowding_scale->at(objective) : own;
  };
  const auto crowding_of = [&](const std::vector<std::size_t>& front) {
    return crowding(points_of(all, front), extent);
  };
  std::vector<std::vector<std::size_t>> fronts;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto rank = static_cast<std::size_t>(ranks[i]);
    if (rank >= fronts.size())
      fronts.resize(rank + 1);
    fronts[rank].push_back(i);
  }
  population_.clear();
  for (std::size_t f = 0; f < fronts.size() && population_.size() < size; ++f) {
    std::vector<std::size_t>& front = fronts[f];
    const std::size_t room = size - population_.size();
    std::vector<double> distance = crowding_of(front);
    if (klhufek) {
      while (front.size() > room) {
        const auto least = std::min_element(distance.begin(), distance.end()) - distance.begin();
        front.erase(front.begin() + least);
        distance = crowding_of(front);
      }
    }
    std::vector<std::size_t> order(front.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return distance[a] > distance[b]; });
    order.resize(std::min(order.size(), room));
    for (const std::size_t k : order)
      population_.push_back(all[front[k]]);
  }
  rate();
}

// Tournaments see the survivors alone, so that a restored population has the same future.
void Nsga2::rate() {
  rank_ = constrained_ranks(population_);
  crowding_.assign(population_.size(), 0);
  std::vector<std::size_t> front;
  for (int rank = 0; front.size() < population_.size(); ++rank) {
    const std::size_t begin = front.size();
    for (std::size_t i = 0; i < population_.size(); ++i) {
      if (rank_[i] == rank)
        front.push_back(i);
    }
    const std::vector<std::size_t> members(front.begin() + static_cast<std::ptrdiff_t>(begin),
                                           front.end());
    const std::vector<double> distance = crowding_distances(points_of(population_, members));
    for (std::size_t k = 0; k < members.size(); ++k)
      crowding_[members[k]] = distance[k];
  }
}

nlohmann::ordered_json Nsga2::state() const {
  return {{"generation", generation_}, {"population", to_json(population_)}};
}

void Nsga2::restore(const nlohmann::ordered_json& state) {
  try {
    generation_ = state.at("generation").get<std::int64_t>();
    asked_.clear();
    population_ = individuals_from_json(state.at("population"), "state of nsga2");
    for (const Individual& individual : population_) {
      if (individual.genome.size() != space_.variables.size()) {
        throw ConfigError(fmt::format("state of nsga2: a point of {} values; allowed: {}",
                                      individual.genome.size(), space_.variables.size()));
      }
    }
    rate();
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(fmt::format("state of nsga2: {}", error.what()));
  }
}

}  // namespace tessera::search
