// SPDX-License-Identifier: Apache-2.0
#include "incumbent.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>

namespace tessera::search {
namespace {

double power(double base, double exponent) {
  if (exponent == 0)
    return 1;
  return exponent == 1 ? base : std::pow(base, exponent);
}

}  // namespace

double NestObjective::value(const cost::NestSummary& summary) const {
  return power(summary.energy_pj, energy) * power(static_cast<double>(summary.cycles), delay) *
         power(summary.last_level_accesses, last_level);
}

double Incumbent::value(const NestBound& bound) const {
  return power(bound.energy_pj, objective_.energy) * power(bound.cycles, objective_.delay) *
         power(bound.last_level_accesses, objective_.last_level);
}

bool Incumbent::refuses(const NestBound& bound) const {
  if (goal_ == Goal::kFront) {
    return std::ranges::any_of(nests_, [&](const ScoredNest& point) {
      return point.summary.energy_pj <= bound.energy_pj &&
             static_cast<double>(point.summary.cycles) <= bound.cycles;
    });
  }
  if (nests_.empty())
    return false;
  const double least = value(bound);
  return least > best_value_ ||
         (least == best_value_ && bound.energy_pj >= nests_.front().summary.energy_pj);
}

bool Incumbent::offer(const cost::CompactNest& nest, const cost::NestSummary& summary) {
  if (goal_ == Goal::kBest) {
    const double value = objective_.value(summary);
    if (!nests_.empty() &&
        (value > best_value_ ||
         (value == best_value_ && summary.energy_pj >= nests_.front().summary.energy_pj)))
      return false;
    best_value_ = value;
    nests_.assign(1, {nest, summary});
    return true;
  }
  const auto beats = [](const cost::NestSummary& a, const cost::NestSummary& b) {
    return a.energy_pj <= b.energy_pj && a.cycles <= b.cycles;
  };
  if (std::ranges::any_of(nests_, [&](const ScoredNest& p) { return beats(p.summary, summary); }))
    return false;
  std::erase_if(nests_, [&](const ScoredNest& p) { return beats(summary, p.summary); });
  nests_.push_back({nest, summary});
  return true;
}

void Incumbent::merge(const Incumbent& other) {
  for (const ScoredNest& point : other.nests_)
    offer(point.nest, point.summary);
}

void for_each_index(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (!failure)
          failure = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    const auto helpers = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    for (std::size_t i = 1; i < helpers; ++i)
      pool.emplace_back(run);
    run();
  }
  if (failure)
    std::rethrow_exception(failure);
}

bool must_stop(const NestSearchOptions& options) {
  return options.stop.stop_requested() ||
         (options.deadline && std::chrono::steady_clock::now() >= *options.deadline);
}

}  // namespace tessera::search
