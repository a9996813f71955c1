// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/core/rng.h"
#include "tessera/search/ask_tell.h"

namespace tessera::search {

// Points drawn uniformly, `batch` at a time, without end: what every search must beat.
class RandomSearch final : public Searcher {
 public:
  RandomSearch(SearchSpace space, std::int64_t batch, const Rng& rng);
  std::vector<Genome> ask() override;
  void tell(std::span<const Evaluation> values) override;
  nlohmann::ordered_json state() const override;
  void restore(const nlohmann::ordered_json& state) override;

 private:
  SearchSpace space_;
  std::int64_t batch_;
  Rng rng_;
  std::int64_t round_ = 0;
};

// Every point of a space of choices once, in lexicographic order, `batch` at a time.
class ExhaustiveSearch final : public Searcher {
 public:
  // UsageError when the space has more than `most` points (or variables that are no choices).
  ExhaustiveSearch(SearchSpace space, std::int64_t batch, std::int64_t most = 1'000'000);
  std::vector<Genome> ask() override;
  void tell(std::span<const Evaluation> values) override;
  nlohmann::ordered_json state() const override;
  void restore(const nlohmann::ordered_json& state) override;

 private:
  SearchSpace space_;
  std::int64_t batch_;
  std::int64_t next_ = 0;
};

}  // namespace tessera::search
