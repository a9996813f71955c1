// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/flow/map.h"
#include "tessera/flow/registry.h"
#include "tessera/plan/comparison.h"

namespace tessera::flow {

// What `tessera compare` is asked to do.
struct CompareSettings {
  MapSettings map;  // of every run, but for its strategy, its seed and its numbers of steps
  std::vector<std::string> strategies = {};
  std::int64_t seeds = 1;  // map.seed and those after it
  // Training images for each run, search and last training together; 0: what map's settings give
  // the supernetwork and the chosen mapping.
  std::int64_t budget_samples = 0;
  // Accuracy below that of the float network that no longer counts in hypervolumes, 0 to 1.
  double reference_drop = 0.1;
};

// The numbers of steps with which a strategy spends `budget_samples` images (images times backward
// passes), the same for all: a run's total is the budget, less the part of a step that is left
// over.
//
// The chosen mapping's last training keeps the share that `settings` gives it beside the
// supernetwork. The rest is the search's: strict-fair steps in the ratio that `settings` gives the
// two phases, each worth as many plain steps as the longest list of paths has entries, or plain
// steps. A strategy that does not train in its search leaves everything to the last training.
MapSettings with_budget(const MapSettings& settings, SearchTraining training, std::int64_t paths,
                        std::int64_t budget_samples);

// Images that a run with these settings trains on in its search and on the chosen mapping.
std::int64_t budget_of(const MapSettings& settings, std::int64_t paths);

// Runs every strategy with every seed, each as a run of its own under context.out/NAME/seed-N, and
// rewrites compare.csv, summary.csv, compare.json and compare.html after each. Runs that are there
// already are read or continued. After Ctrl-C the comparison holds what was found so far, the last
// run with status "interrupted". Throws UsageError.
plan::Comparison compare(const CompareSettings& settings, const MapContext& context);

// Reads and checks everything, and returns the settings of the first seed's runs (--dry-run).
std::vector<MapSettings> check_compare(const CompareSettings& settings, const MapContext& context);

}  // namespace tessera::flow
