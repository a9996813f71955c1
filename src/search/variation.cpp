// SPDX-License-Identifier: Apache-2.0
#include "variation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/core/error.h"

namespace tessera::search {
namespace {

// Parents closer than this count as one; the spread of their children would divide by zero.
constexpr double kSamePlace = 1e-14;

// How far a child lies from its parents' middle, in halves of their distance, when `room` is the
// distance from the nearer parent to the bound in whole ones.
double spread(double room, double index, double u) {
  const double alpha = 2 - std::pow(1 + 2 * room, -(index + 1));
  const double base = u <= 1 / alpha ? u * alpha : 1 / (2 - u * alpha);
  return std::pow(base, 1 / (index + 1));
}

int choice_at(const Genome& genome, std::size_t i) {
  return static_cast<int>(genome[i]);
}

}  // namespace

RealPair simulated_binary_crossover(RealPair parents, const RealVariable& bounds, double index,
                                    Rng& rng) {
  const auto [low, high] = std::minmax(parents.a, parents.b);
  const double distance = high - low;
  if (distance < kSamePlace)
    return parents;
  const double u = rng.uniform();
  const double middle = 0.5 * (low + high);
  const double below = spread((low - bounds.low) / distance, index, u);
  const double above = spread((bounds.high - high) / distance, index, u);
  RealPair children{std::clamp(middle - 0.5 * below * distance, bounds.low, bounds.high),
                    std::clamp(middle + 0.5 * above * distance, bounds.low, bounds.high)};
  if (parents.a > parents.b)
    std::swap(children.a, children.b);
  return children;
}

double polynomial_mutation(double value, const RealVariable& bounds, double index, Rng& rng) {
  const double range = bounds.high - bounds.low;
  if (range <= 0)
    return value;
  const double u = rng.uniform();
  const double power = 1 / (index + 1);
  double step = 0;
  if (u < 0.5) {
    const double room = std::pow(1 - (value - bounds.low) / range, index + 1);
    step = std::pow(2 * u + (1 - 2 * u) * room, power) - 1;
  } else {
    const double room = std::pow(1 - (bounds.high - value) / range, index + 1);
    step = 1 - std::pow(2 * (1 - u) + 2 * (u - 0.5) * room, power);
  }
  return std::clamp(value + step * range, bounds.low, bounds.high);
}

int mutated_choice(int value, const ChoiceVariable& variable, Rng& rng) {
  if (variable.count < 2)
    return value;
  if (variable.ordered && rng.uniform() < 0.5) {
    const bool up = value == 0 || (value < variable.count - 1 && rng.uniform() < 0.5);
    return up ? value + 1 : value - 1;
  }
  const auto other = static_cast<int>(rng.below(static_cast<std::uint64_t>(variable.count - 1)));
  return other < value ? other : other + 1;
}

GenomePair standard_crossover(const SearchSpace& space, const Nsga2Options& options,
                              GenomePair parents, Rng& rng) {
  if (rng.uniform() >= options.crossover_rate)
    return parents;
  int block = -1;
  bool swaps = false;
  for (std::size_t i = 0; i < space.variables.size(); ++i) {
    double& a = parents.a[i];
    double& b = parents.b[i];
    if (const auto* real = std::get_if<RealVariable>(&space.variables[i])) {
      // Half of the variables cross; a coin decides which child is on which side.
      if (rng.uniform() < 0.5)
        continue;
      const RealPair children =
          simulated_binary_crossover({a, b}, *real, options.crossover_index, rng);
      a = children.a;
      b = children.b;
      if (rng.uniform() < 0.5)
        std::swap(a, b);
      continue;
    }
    if (space.block(i) != block) {
      block = space.block(i);
      swaps = rng.uniform() < 0.5;
    }
    if (swaps)
      std::swap(a, b);
  }
  return parents;
}

void standard_mutation(const SearchSpace& space, const Nsga2Options& options, Genome& genome,
                       Rng& rng) {
  const double rate =
      options.mutations / static_cast<double>(std::max<std::size_t>(space.variables.size(), 1));
  for (std::size_t i = 0; i < space.variables.size(); ++i) {
    if (rng.uniform() >= rate)
      continue;
    if (const auto* real = std::get_if<RealVariable>(&space.variables[i])) {
      genome[i] = polynomial_mutation(genome[i], *real, options.mutation_index, rng);
    } else {
      genome[i] =
          mutated_choice(choice_at(genome, i), std::get<ChoiceVariable>(space.variables[i]), rng);
    }
  }
}

Genome klhufek_offspring(const SearchSpace& space, const Genome& a, const Genome& b, Rng& rng) {
  constexpr double kKeepsLast = 0.05;
  constexpr double kMutates = 0.1;
  enum class From { kA, kB, kLast };
  Genome child(a.size());
  int block = -1;
  From from = From::kA;
  const auto last = [&](std::size_t i) {
    return static_cast<double>(std::get<ChoiceVariable>(space.variables[i]).count - 1);
  };
  for (std::size_t i = 0; i < child.size(); ++i) {
    if (space.block(i) != block) {
      block = space.block(i);
      from = rng.uniform() < kKeepsLast ? From::kLast : rng.uniform() < 0.5 ? From::kA : From::kB;
    }
    child[i] = from == From::kLast ? last(i) : from == From::kA ? a[i] : b[i];
  }
  if (rng.uniform() >= kMutates)
    return child;
  const auto drawn = static_cast<int>(rng.below(static_cast<std::uint64_t>(space.block_count())));
  for (std::size_t i = 0; i < child.size(); ++i) {
    if (space.block(i) == drawn) {
      const int count = std::get<ChoiceVariable>(space.variables[i]).count;
      child[i] = static_cast<double>(rng.below(static_cast<std::uint64_t>(count)));
    }
  }
  return child;
}

}  // namespace tessera::search
