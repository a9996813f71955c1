// SPDX-License-Identifier: Apache-2.0
#include "relaxation.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tessera/core/units.h"

namespace tessera::supernet {

namespace {

// One limit that was asked for.
struct Bound {
  std::string name;
  double limit;
  bool at_least;
  std::function<double(const Evaluated&)> value;
  std::function<std::string(double)> print;

  bool keeps(const Evaluated& candidate) const {
    return at_least ? value(candidate) >= limit : value(candidate) <= limit;
  }
  // How far the candidate lies outside, as a share of the limit.
  double excess(const Evaluated& candidate) const {
    const double outside = at_least ? limit - value(candidate) : value(candidate) - limit;
    return std::max(outside, 0.0) / std::max(std::abs(limit), 1e-12);
  }
  bool better(double a, double b) const { return at_least ? a > b : a < b; }
  std::string text(double bound) const {
    return fmt::format("{} {} {}", name, at_least ? "at least" : "at most", print(bound));
  }
};

std::vector<Bound> bounds_of(const Limits& limits) {
  const auto percent = [](double v) { return fmt::format("{:.2f} %", 100 * v); };
  const auto energy = [](double v) { return format_quantity(v, Dimension::kEnergy); };
  const auto time = [](double v) { return format_quantity(v, Dimension::kTime); };
  std::vector<Bound> bounds;
  const auto add = [&](const std::optional<double>& limit, Bound bound) {
    if (limit) {
      bound.limit = *limit;
      bounds.push_back(std::move(bound));
    }
  };
  add(limits.min_accuracy,
      {"accuracy", 0, true, [](const Evaluated& e) { return e.accuracy.mean; }, percent});
  add(limits.min_analog_mac_ratio,
      {"analog MAC ratio", 0, true, [](const Evaluated& e) { return e.totals.analog_mac_ratio; },
       percent});
  add(limits.max_energy_pj,
      {"energy", 0, false, [](const Evaluated& e) { return e.totals.energy_pj; }, energy});
  add(limits.max_latency_ns,
      {"latency", 0, false, [](const Evaluated& e) { return e.totals.latency_ns; }, time});
  return bounds;
}

// The best value of `bound` among candidates that keep all the others; none when there are none.
std::optional<double> alone(const std::vector<Bound>& bounds, const Bound& bound,
                            const std::vector<Evaluated>& candidates) {
  std::optional<double> best;
  for (const Evaluated& candidate : candidates) {
    const bool others = std::ranges::all_of(bounds, [&](const Bound& other) {
      return other.name == bound.name || other.keeps(candidate);
    });
    if (others && (!best || bound.better(bound.value(candidate), *best)))
      best = bound.value(candidate);
  }
  return best;
}

// Limits that no candidate keeps by itself, or else the first pair that none keeps together.
std::vector<std::string> clashing(const std::vector<Bound>& bounds,
                                  const std::vector<Evaluated>& candidates) {
  const auto kept = [&](const Bound& a, const Bound& b) {
    return std::ranges::any_of(candidates,
                               [&](const Evaluated& e) { return a.keeps(e) && b.keeps(e); });
  };
  std::vector<std::string> names;
  for (const Bound& bound : bounds) {
    if (!kept(bound, bound))
      names.push_back(bound.name);
  }
  for (std::size_t i = 0; i < bounds.size() && names.empty(); ++i) {
    for (std::size_t k = i + 1; k < bounds.size() && names.empty(); ++k) {
      if (!kept(bounds[i], bounds[k]))
        names = {bounds[i].name, bounds[k].name};
    }
  }
  if (names.empty()) {
    for (const Bound& bound : bounds)
      names.push_back(bound.name);
  }
  return names;
}

// The candidate that exceeds its limits least in sum: what it has, for each limit it breaks.
std::string nearest(const std::vector<Bound>& bounds, const std::vector<Evaluated>& candidates) {
  const auto total = [&](const Evaluated& candidate) {
    double sum = 0;
    for (const Bound& bound : bounds)
      sum += bound.excess(candidate);
    return sum;
  };
  const Evaluated& best = *std::ranges::min_element(candidates, {}, total);
  std::vector<std::string> texts;
  for (const Bound& bound : bounds) {
    if (!bound.keeps(best))
      texts.push_back(bound.text(bound.value(best)));
  }
  return fmt::format("{}", fmt::join(texts, " and "));
}

}  // namespace

std::string explain_infeasible(const Limits& limits, const std::vector<Evaluated>& candidates) {
  const std::vector<Bound> bounds = bounds_of(limits);
  std::vector<std::string> best;
  std::vector<std::string> relaxations;
  for (const Bound& bound : bounds) {
    const auto by_value = [&](const Evaluated& a, const Evaluated& b) {
      return bound.better(bound.value(a), bound.value(b));
    };
    const Evaluated& first = *std::ranges::min_element(candidates, by_value);
    best.push_back(fmt::format("{}: best of all mappings seen is {}", bound.text(bound.limit),
                               bound.print(bound.value(first))));
    if (const auto value = alone(bounds, bound, candidates); value && bounds.size() > 1)
      relaxations.push_back(bound.text(*value));
  }
  const std::vector<std::string> clash = clashing(bounds, candidates);
  std::string text = fmt::format("{}", fmt::join(best, "; "));
  if (bounds.size() > 1)
    text += clash.size() == 1 ? fmt::format("; {} cannot be kept at all", clash[0])
                              : fmt::format("; {} clash", fmt::join(clash, " and "));
  return text + "; least relaxation of what was seen: " +
         (relaxations.empty() ? nearest(bounds, candidates)
                              : fmt::format("{}", fmt::join(relaxations, ", or ")));
}

}  // namespace tessera::supernet
