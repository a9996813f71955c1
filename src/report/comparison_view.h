// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the comparison's table and page share.

#include <string>
#include <vector>

#include "tessera/plan/comparison.h"

namespace tessera::report::detail {

// Accuracy over several runs: the mean of their means; std over the runs, or over the chips of the
// only one.
struct MeanAccuracy {
  double mean = 0;
  double std = 0;
  int n = 0;  // runs that have it
};

// One strategy, means over its runs; costs and accuracies of the chosen mappings.
struct StrategyRow {
  std::string strategy;
  int runs = 0;
  int chosen = 0;  // runs that have a chosen mapping
  double hypervolume = 0, hypervolume_std = 0;
  MeanAccuracy validation = {}, test = {};
  double energy_pj = 0, latency_ns = 0, digital_weight_bytes = 0, analog_mac_ratio = 0;
  double samples = 0;
  double search_seconds = 0;
};
// In the order of the comparison's runs.
std::vector<StrategyRow> strategy_rows(const plan::Comparison& comparison);

std::string volume_text(const StrategyRow& row);          // "0.613 ± 0.012"
std::string accuracy_text(const MeanAccuracy& accuracy);  // "91.23 ± 0.31 %", "–"
// What the columns mean: reference point, budget, time after programming.
std::string reference_text(const plan::Comparison& comparison);

}  // namespace tessera::report::detail
