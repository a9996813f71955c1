// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/ask_tell.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/saturate.h"

#include "incumbent.h"

namespace tessera::search {

int SearchSpace::block_count() const {
  return variables.empty() ? 0 : block(variables.size() - 1) + 1;
}

std::int64_t SearchSpace::size() const {
  std::int64_t product = 1;
  for (const Variable& variable : variables) {
    const auto* choice = std::get_if<ChoiceVariable>(&variable);
    if (choice == nullptr)
      return std::numeric_limits<std::int64_t>::max();
    product = saturating_multiply(product, choice->count);
  }
  return product;
}

std::vector<int> constrained_ranks(std::span<const Individual> individuals) {
  std::vector<std::size_t> inside;
  std::vector<plan::Point> points;
  std::vector<double> violations;
  for (std::size_t i = 0; i < individuals.size(); ++i) {
    if (individuals[i].value.violation > 0) {
      violations.push_back(individuals[i].value.violation);
    } else {
      inside.push_back(i);
      points.push_back(individuals[i].value.objectives);
    }
  }
  const std::vector<int> fronts = plan::pareto_ranks(points);
  std::vector<int> ranks(individuals.size(), -1);
  int next = 0;
  for (std::size_t k = 0; k < inside.size(); ++k) {
    ranks[inside[k]] = fronts[k];
    next = std::max(next, fronts[k] + 1);
  }
  std::sort(violations.begin(), violations.end());
  violations.erase(std::unique(violations.begin(), violations.end()), violations.end());
  for (std::size_t i = 0; i < individuals.size(); ++i) {
    if (ranks[i] >= 0)
      continue;
    const auto position =
        std::lower_bound(violations.begin(), violations.end(), individuals[i].value.violation);
    ranks[i] = next + static_cast<int>(position - violations.begin());
  }
  return ranks;
}

Genome random_genome(const SearchSpace& space, Rng& rng) {
  Genome genome;
  genome.reserve(space.variables.size());
  for (const Variable& variable : space.variables) {
    if (const auto* choice = std::get_if<ChoiceVariable>(&variable)) {
      genome.push_back(static_cast<double>(rng.below(static_cast<std::uint64_t>(choice->count))));
    } else {
      const auto& real = std::get<RealVariable>(variable);
      genome.push_back(rng.uniform(real.low, real.high));
    }
  }
  return genome;
}

std::vector<Evaluation> evaluate_all(std::span<const Genome> genomes,
                                     const std::function<Evaluation(const Genome&)>& evaluate,
                                     int threads) {
  std::vector<Evaluation> values(genomes.size());
  for_each_index(genomes.size(), threads, [&](std::size_t i) { values[i] = evaluate(genomes[i]); });
  return values;
}

bool Archive::offer(const Individual& individual) {
  if (individual.value.violation > 0)
    return false;
  const plan::Point& point = individual.value.objectives;
  for (const Individual& member : members_) {
    if (member.value.objectives == point || plan::dominates(member.value.objectives, point))
      return false;
  }
  std::erase_if(members_, [&](const Individual& member) {
    return plan::dominates(point, member.value.objectives);
  });
  members_.push_back(individual);
  return true;
}

std::vector<plan::Point> Archive::points() const {
  std::vector<plan::Point> points;
  for (const Individual& member : members_)
    points.push_back(member.value.objectives);
  return points;
}

nlohmann::ordered_json to_json(std::span<const Individual> individuals) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Individual& individual : individuals) {
    json.push_back({{"genome", individual.genome},
                    {"objectives", individual.value.objectives},
                    {"violation", individual.value.violation}});
  }
  return json;
}

std::vector<Individual> individuals_from_json(const nlohmann::ordered_json& json,
                                              const std::string& what) {
  try {
    std::vector<Individual> individuals;
    for (const auto& row : json) {
      individuals.push_back(
          {row.at("genome").get<Genome>(),
           {row.at("objectives").get<plan::Point>(), row.at("violation").get<double>()}});
    }
    return individuals;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(fmt::format("{}: not a list of individuals: {}", what, error.what()));
  }
}

}  // namespace tessera::search
