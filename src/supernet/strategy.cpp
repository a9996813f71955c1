// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/strategy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

#include "relaxation.h"

namespace tessera::supernet {

namespace {

// Without a limit that says what is wanted, this much accuracy is worth half the energy. A fixed
// rate, unlike a front's knee, does not depend on how far the front happens to reach: on a short
// one the knee gives half a point for 2 % of the energy.
constexpr double kAccuracyPerHalving = 0.02;

}  // namespace

plan::Assignment assignment_of(const Space& space, const Choice& choice) {
  TESSERA_CHECK(space.size() == choice.size(), "{} choices for {} layers", choice.size(),
                space.size());
  plan::Assignment assignment;
  for (std::size_t i = 0; i < space.size(); ++i) {
    assignment.paths.push_back(space[i].at(static_cast<std::size_t>(choice[i])));
  }
  return assignment;
}

plan::Assignment assignment_of(const Space& space, const Evaluated& candidate) {
  if (candidate.made)
    return *candidate.made;
  return assignment_of(candidate.adapted ? candidate.adapted->space : space, candidate.choice);
}

bool Evaluated::operator==(const Evaluated& other) const {
  const bool same_network = adapted == other.adapted ||
                            (adapted && other.adapted && adapted->start == other.adapted->start);
  return same_network && choice == other.choice && totals == other.totals &&
         accuracy == other.accuracy && made == other.made;
}

namespace {

std::string parameter_name(std::size_t index) {
  return fmt::format("weights.{}", index);
}

}  // namespace

Weights Weights::of(const nn::Network& network, nn::TensorMap kernels) {
  Weights weights{.network = {}, .kernels = std::move(kernels)};
  const std::vector<nn::Tensor> parameters = network.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i)
    weights.network[parameter_name(i)] = parameters[i].detach().clone();
  return weights;
}

nn::Network Weights::load_into(const nn::Network& start) const {
  nn::Network copy = start.clone();
  const torch::NoGradGuard no_grad;
  const std::vector<nn::Tensor> parameters = copy.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto found = network.find(parameter_name(i));
    if (found == network.end() || found->second.sizes() != parameters[i].sizes()) {
      throw IoError(
          fmt::format("weights: '{}' is missing or has another shape", parameter_name(i)));
    }
    parameters[i].copy_(found->second);
  }
  return copy;
}

plan::Point objectives(const Evaluated& candidate, const Limits& limits) {
  plan::Point point{-candidate.accuracy.mean,
                    static_cast<double>(candidate.totals.digital_weight_bytes)};
  if (!limits.min_analog_mac_ratio)
    point.push_back(-candidate.totals.analog_mac_ratio);
  if (!limits.max_energy_pj)
    point.push_back(candidate.totals.energy_pj);
  if (!limits.max_latency_ns)
    point.push_back(candidate.totals.latency_ns);
  return point;
}

double violation(const Limits& limits, const Evaluated& candidate) {
  double sum = 0;
  const auto at_least = [&](const std::optional<double>& limit, double value) {
    if (limit && value < *limit)
      sum += (*limit - value) / std::max(*limit, 1e-12);
  };
  const auto at_most = [&](const std::optional<double>& limit, double value) {
    if (limit && value > *limit)
      sum += (value - *limit) / std::max(*limit, 1e-12);
  };
  at_least(limits.min_accuracy, candidate.accuracy.mean);
  at_least(limits.min_analog_mac_ratio, candidate.totals.analog_mac_ratio);
  at_most(limits.max_energy_pj, candidate.totals.energy_pj);
  at_most(limits.max_latency_ns, candidate.totals.latency_ns);
  return sum;
}

std::vector<int> constrained_ranks(const Limits& limits, const std::vector<Evaluated>& candidates) {
  std::vector<std::size_t> inside;
  std::vector<plan::Point> points;
  std::set<double> violations;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (const double excess = violation(limits, candidates[i]); excess > 0) {
      violations.insert(excess);
    } else {
      inside.push_back(i);
      points.push_back(objectives(candidates[i], limits));
    }
  }
  const std::vector<int> fronts = plan::pareto_ranks(points);
  int worst_inside = -1;
  std::vector<int> ranks(candidates.size(), -1);
  for (std::size_t k = 0; k < inside.size(); ++k) {
    ranks[inside[k]] = fronts[k];
    worst_inside = std::max(worst_inside, fronts[k]);
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (ranks[i] >= 0)
      continue;
    const auto position = violations.find(violation(limits, candidates[i]));
    ranks[i] = worst_inside + 1 + static_cast<int>(std::distance(violations.begin(), position));
  }
  return ranks;
}

std::vector<std::size_t> front_members(const std::vector<Evaluated>& candidates) {
  std::set<std::size_t> members;
  const std::size_t dimensions = candidates.empty() ? 0 : objectives(candidates[0], {}).size();
  for (std::size_t objective = 1; objective < dimensions; ++objective) {
    std::vector<plan::Point> points;
    for (const Evaluated& candidate : candidates) {
      const plan::Point all = objectives(candidate, {});
      points.push_back({all[0], all[objective]});
    }
    for (const std::size_t member : plan::pareto_front(points))
      members.insert(member);
  }
  return {members.begin(), members.end()};
}

Expected<std::size_t> choose(const Limits& limits, const std::vector<Evaluated>& candidates) {
  std::vector<std::size_t> inside;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (violation(limits, candidates[i]) == 0)
      inside.push_back(i);
  }
  if (inside.empty()) {
    if (candidates.empty())
      return infeasible("limits", "no mapping was measured");
    return infeasible("limits", explain_infeasible(limits, candidates));
  }
  const auto first_by = [&](auto key) {
    return *std::min_element(inside.begin(), inside.end(), [&](std::size_t a, std::size_t b) {
      return key(candidates[a]) < key(candidates[b]);
    });
  };
  const bool budget = limits.max_energy_pj || limits.max_latency_ns;
  // A bound on one side asks for the best on the other; bounds on both or neither leave the trade
  // to the rate.
  if (limits.min_accuracy && !budget) {
    return first_by([](const Evaluated& e) { return e.totals.energy_pj; });
  }
  if (budget && !limits.min_accuracy) {
    return first_by([](const Evaluated& e) { return -e.accuracy.mean; });
  }
  return first_by([](const Evaluated& e) {
    return std::log2(e.totals.energy_pj) - e.accuracy.mean / kAccuracyPerHalving;
  });
}

void report_best(const Problem& problem, const std::vector<Evaluated>& front,
                 const std::vector<Weights>& weights, Observer& observer) {
  const auto index = choose(problem.limits, front);
  if (!index)
    return;
  const Weights& own = weights.at(*index);
  observer.found({front[*index]}, own.load_into(problem.network), own.kernels);
}

}  // namespace tessera::supernet
