// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/mapper.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"
#include "tessera/core/text.h"

#include "incumbent.h"

namespace tessera::search {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Elements of the map space one by one: all of them, or drawn ones.
struct Chunk {
  Incumbent incumbent;
  std::int64_t evaluated = 0;
  std::int64_t valid = 0;
  std::map<std::string, std::int64_t> rejections;
  bool finished = true;
};

class Lister {
 public:
  Lister(const MapSpace& space, const cost::Pricing& pricing, const NestSearchOptions& options)
      : space_(space), pricing_(pricing), options_(options) {}

  Chunk run(std::int64_t begin, std::int64_t end) const {
    Chunk chunk{.incumbent = Incumbent(Incumbent::Goal::kBest, options_.objective),
                .rejections = {}};
    const Rng rng = Rng(options_.seed).split("nests");
    for (std::int64_t i = begin; i < end; ++i) {
      if ((i - begin) % 256 == 255 && must_stop(options_)) {
        chunk.finished = false;
        break;
      }
      std::int64_t index = i;
      if (options_.search == NestSearch::kRandom) {
        index = static_cast<std::int64_t>(rng.split(static_cast<std::uint64_t>(i))
                                              .below(static_cast<std::uint64_t>(space_.size())));
      }
      ++chunk.evaluated;
      const auto nest = space_.nest(index);
      if (!nest) {
        reject(nest.error(), chunk);
        continue;
      }
      const auto summary = space_.model().evaluate(*nest, pricing_);
      if (!summary) {
        reject(summary.error(), chunk);
        continue;
      }
      ++chunk.valid;
      chunk.incumbent.offer(*nest, *summary);
    }
    return chunk;
  }

 private:
  void reject(const cost::Rejection& rejection, Chunk& chunk) const {
    ++chunk.rejections[space_.model().explain(rejection).reason + " at " +
                       space_.model().unit().levels[rejection.level].name];
  }

  const MapSpace& space_;
  const cost::Pricing& pricing_;
  const NestSearchOptions& options_;
};

NestSearchResult list(const MapSpace& space, const cost::Pricing& pricing,
                      const NestSearchOptions& options) {
  const bool all = options.search == NestSearch::kExhaustive;
  const std::int64_t count = all ? space.size() : options.samples;
  // Chunks of one size, merged in order: the same result on any number of threads.
  constexpr std::int64_t kChunk = 4096;
  const auto chunks = static_cast<std::size_t>((count - 1) / kChunk + 1);
  std::vector<std::optional<Chunk>> done(std::min<std::size_t>(chunks, 4096));
  const Lister lister(space, pricing, options);
  Incumbent incumbent(Incumbent::Goal::kBest, options.objective);
  NestSearchResult result;
  bool finished = true;
  for (std::size_t first = 0; first < chunks && finished; first += done.size()) {
    const std::size_t here = std::min(done.size(), chunks - first);
    for_each_index(here, options.threads, [&](std::size_t i) {
      const std::int64_t begin = static_cast<std::int64_t>(first + i) * kChunk;
      done[i] = lister.run(begin, std::min(begin + kChunk, count));
    });
    for (std::size_t i = 0; i < here; ++i) {
      incumbent.merge(done[i]->incumbent);
      result.evaluated += done[i]->evaluated;
      result.valid += done[i]->valid;
      for (const auto& [reason, times] : done[i]->rejections)
        result.rejections[reason] += times;
      finished = finished && done[i]->finished;
    }
  }
  if (!incumbent.nests().empty())
    result.best = incumbent.nests().front();
  result.gap = all && finished ? 0 : 1;
  return result;
}

NestSearchResult prove(const MapSpace& space, const cost::Pricing& pricing,
                       const NestSearchOptions& options) {
  const bool prune = options.search == NestSearch::kBranchAndBound;
  const BranchAndBoundResult found =
      branch_and_bound(space, pricing, options, Incumbent::Goal::kBest, prune);
  NestSearchResult result;
  result.evaluated = found.evaluated;
  result.valid = found.valid;
  if (found.incumbent.nests().empty()) {
    result.gap = std::isinf(found.open_value) ? 0 : 1;
    return result;
  }
  result.best = found.incumbent.nests().front();
  const double best = options.objective.value(result.best->summary);
  result.gap = best > 0 ? std::clamp((best - found.open_value) / best, 0.0, 1.0) : 0;
  return result;
}

double parse_exponent(std::string_view text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !(value >= 0) || value > 100)
    throw UsageError(
        fmt::format("objective: exponent '{}'; allowed: a number from 0 to 100", text));
  return value;
}

}  // namespace

NestObjective parse_nest_objective(const std::string& text) {
  NestObjective objective{.energy = 0, .delay = 0, .last_level = 0};
  for (const std::string& factor : split(text, '*')) {
    const std::size_t caret = factor.find('^');
    const std::string name(trim(std::string_view(factor).substr(0, caret)));
    const double exponent = caret == std::string::npos
                                ? 1
                                : parse_exponent(trim(std::string_view(factor).substr(caret + 1)));
    if (name == "energy" || name == "edp")
      objective.energy += exponent;
    if (name == "delay" || name == "edp")
      objective.delay += exponent;
    if (name == "lla")
      objective.last_level += exponent;
    if (name != "energy" && name != "delay" && name != "edp" && name != "lla")
      throw UsageError(unknown_name("objective", name,
                                    std::vector<std::string>{"energy", "delay", "edp", "lla"}));
  }
  return objective;
}

NestSearchResult find_nest(const MapSpace& space, const cost::Pricing& pricing,
                           const NestSearchOptions& options) {
  const Clock::time_point start = Clock::now();
  const bool lists =
      options.search == NestSearch::kExhaustive || options.search == NestSearch::kRandom;
  NestSearchResult result = lists ? list(space, pricing, options) : prove(space, pricing, options);
  result.seconds = seconds_since(start);
  return result;
}

NestFront find_nest_front(const MapSpace& space, const cost::Pricing& pricing,
                          const NestSearchOptions& options) {
  const Clock::time_point start = Clock::now();
  BranchAndBoundResult found =
      branch_and_bound(space, pricing, options, Incumbent::Goal::kFront, /*prune=*/true);
  NestFront front;
  front.nests = found.incumbent.nests();
  std::ranges::stable_sort(front.nests, {}, [](const ScoredNest& nest) {
    return std::pair(nest.summary.cycles, nest.summary.energy_pj);
  });
  front.complete = std::isinf(found.open_value);
  front.seconds = seconds_since(start);
  return front;
}

}  // namespace tessera::search
