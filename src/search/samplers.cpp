// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/samplers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"

namespace tessera::search {
namespace {

std::int64_t read_count(const nlohmann::ordered_json& state, const std::string& key) {
  try {
    return state.at(key).get<std::int64_t>();
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(fmt::format("state of a search: {}", error.what()));
  }
}

}  // namespace

RandomSearch::RandomSearch(SearchSpace space, std::int64_t batch, const Rng& rng)
    : space_(std::move(space)), batch_(batch), rng_(rng) {}

std::vector<Genome> RandomSearch::ask() {
  Rng rng = rng_.split("round").split(static_cast<std::uint64_t>(round_));
  std::vector<Genome> genomes;
  for (std::int64_t i = 0; i < batch_; ++i)
    genomes.push_back(random_genome(space_, rng));
  return genomes;
}

void RandomSearch::tell(std::span<const Evaluation>) {
  ++round_;
}

nlohmann::ordered_json RandomSearch::state() const {
  return {{"round", round_}};
}

void RandomSearch::restore(const nlohmann::ordered_json& state) {
  round_ = read_count(state, "round");
}

ExhaustiveSearch::ExhaustiveSearch(SearchSpace space, std::int64_t batch, std::int64_t most)
    : space_(std::move(space)), batch_(batch) {
  if (space_.size() > most) {
    throw UsageError(
        fmt::format("exhaustive search: {} points; allowed: at most {}, so choose "
                    "fewer layers, units or widths",
                    space_.size(), most));
  }
}

std::vector<Genome> ExhaustiveSearch::ask() {
  std::vector<Genome> genomes;
  const std::int64_t end = std::min(next_ + batch_, space_.size());
  for (std::int64_t number = next_; number < end; ++number) {
    Genome& genome = genomes.emplace_back(space_.variables.size());
    std::int64_t rest = number;
    for (std::size_t i = genome.size(); i-- > 0;) {
      const std::int64_t count = std::get<ChoiceVariable>(space_.variables[i]).count;
      genome[i] = static_cast<double>(rest % count);
      rest /= count;
    }
  }
  return genomes;
}

void ExhaustiveSearch::tell(std::span<const Evaluation> values) {
  next_ += static_cast<std::int64_t>(values.size());
}

nlohmann::ordered_json ExhaustiveSearch::state() const {
  return {{"next", next_}};
}

void ExhaustiveSearch::restore(const nlohmann::ordered_json& state) {
  next_ = read_count(state, "next");
}

}  // namespace tessera::search
