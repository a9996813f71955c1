// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/plan/run_record.h"

namespace tessera::plan {

// Several strategies on one problem at one budget: what `tessera compare` finds.

// The corner that bounds a hypervolume: the least accuracy (0 to 1) and the highest costs that
// count.
struct HypervolumeReference {
  double accuracy = 0;
  double energy_pj = 0;
  double latency_ns = 0;
  double digital_weight_bytes = 0;
  bool operator==(const HypervolumeReference&) const = default;
};

// A mapping that a run offers: a member of its front, or the chosen one after its last training.
struct ComparedMapping {
  std::string label;  // "front 3", "chosen"
  bool chosen = false;
  Totals totals = {};
  Accuracy validation = {};
  std::optional<Accuracy> test = std::nullopt;  // of the chosen one
  // Another mapping of the run is as good in accuracy, energy, latency and digital bytes, and
  // better in one.
  bool dominated = false;
  bool operator==(const ComparedMapping&) const = default;
};

struct ComparedRun {
  std::string strategy;
  std::uint64_t seed = 0;
  std::string status = {};  // as a run record's
  std::string folder = {};  // relative to the comparison's
  std::vector<ComparedMapping> mappings = {};
  double hypervolume = 0;
  std::int64_t evaluations = 0;
  std::int64_t search_samples = 0;    // images times backward passes, in the search
  std::int64_t training_samples = 0;  // the same with the chosen mapping's last training
  // Wall times, the only fields that differ between equal runs: of the search, and with baselines
  // and the last training.
  double search_seconds = 0;
  double seconds = 0;
  bool operator==(const ComparedRun&) const = default;
};

struct Comparison {
  std::string command = {};
  std::string tessera_version = {};
  std::map<std::string, std::string> environment = {};
  std::string network = {}, platform = {}, data = {};
  std::int64_t budget_samples = 0;  // training images for each run
  double t_eval_s = 0;              // after programming: when accuracies are compared
  HypervolumeReference reference = {};
  std::vector<ComparedRun> runs = {};
  bool operator==(const Comparison&) const = default;
};

// The run's front and its chosen mapping as they stand in its record: those with an accuracy on the
// validation part. Marks which ones are dominated and measures their hypervolume.
ComparedRun compared_run(const RunRecord& record, double t_eval_s,
                         const HypervolumeReference& reference);

// Share of the box between the reference and the ideal (every image right, at no cost) that the
// mappings dominate, 0 to 1, by validation accuracy, energy, latency and digital weight bytes.
double compared_hypervolume(const std::vector<ComparedMapping>& mappings,
                            const HypervolumeReference& reference);

// The run's chosen mapping; null while there is none.
const ComparedMapping* chosen_mapping(const ComparedRun& run);

nlohmann::ordered_json to_json(const Comparison& comparison);

}  // namespace tessera::plan
