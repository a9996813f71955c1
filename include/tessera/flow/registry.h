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
  // Searches by ask and tell: they measure many mappings under shared weights, so that members of
  // their front are trained and measured anew (`front-size`).
  bool asks_and_tells = false;
};

// Largest number of paths that a layer has.
std::int64_t most_paths(const supernet::Space& space);

// Float training steps that mpaas takes with these settings, of all widened networks together.
std::int64_t widened_steps(const MapSettings& settings);

// Work of training the supernetwork of all widths, in images passed forward.
double supernet_work(const MapSettings& settings);

const std::vector<StrategyEntry>& strategies();
// Throws UsageError that lists the known ones.
const StrategyEntry& find_strategy(std::string_view name);

}  // namespace tessera::flow
