// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/flow/settings.h"
#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// What a method is made from.
struct StrategyInputs {
  const MapSettings& settings;
  const cost::TiledModel& model;
  const supernet::Space& space;
};

// How a method spends training samples inside its search: on strict-fair steps, which train every
// path of the longest list once, on plain steps, or not at all.
enum class SearchTraining { kFairSteps, kSteps, kNone };

// A search method by name; variants of one are entries of their own, "NAME:VARIANT".
struct StrategyEntry {
  std::string name;
  std::string summary;
  SearchTraining training = SearchTraining::kSteps;
  // Throws UsageError when the method does not fit the platform.
  std::function<std::unique_ptr<supernet::Strategy>(const StrategyInputs&)> make;
};

// Largest number of paths that a layer has.
std::int64_t most_paths(const supernet::Space& space);

const std::vector<StrategyEntry>& strategies();
// Throws UsageError that lists the known ones.
const StrategyEntry& find_strategy(std::string_view name);

}  // namespace tessera::flow
