// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/plan/mapping.h"

namespace tessera::plan {

// One mapping that a run looked at closely enough to plot: a front member, a baseline, the chosen
// one.
struct Candidate {
  std::string label;  // "int8", "analog, trained", "front 3", "chosen"
  std::string kind;   // "baseline", "front", "chosen"
  Assignment assignment;
  Totals totals;
  std::vector<Accuracy> accuracy;        // one per time and split
  std::vector<LevelEnergy> levels = {};  // level_energies() of its cost
  bool operator==(const Candidate&) const = default;
};

struct Sensitivity {
  std::string layer;
  std::string path;
  double accuracy_drop = 0;  // of the network with this layer alone on this path, fraction
  bool operator==(const Sensitivity&) const = default;
};

// The chosen mapping with one layer on another path of the search: what that would change, as the
// cost model has it. Mappings that do not fit the chip are left out.
struct Alternative {
  std::string layer;
  std::string path;
  double energy_pj = 0;   // of the network per image, minus the chosen mapping's
  double latency_ns = 0;  // likewise
  bool operator==(const Alternative&) const = default;
};

struct TracePoint {
  std::string phase;
  std::int64_t step = 0;
  std::string quantity;  // "loss", "validation_top1", "hypervolume"
  double value = 0;
  bool operator==(const TracePoint&) const = default;
};

struct ConstantRow {
  std::string path, value, source;
  double plus_minus = 0;
  bool operator==(const ConstantRow&) const = default;
};

// run.json: all that a run did and found; the report is made from this alone.
struct RunRecord {
  std::string command;
  std::string tessera_version;
  std::map<std::string, std::string>
      environment;  // compiler, libraries, CPU capability, threads, device
  std::string network_file, network_sha256;
  std::string platform_name, platform_sha256, platform_summary;
  std::string data, preprocessing;
  std::map<std::string, std::string> settings;  // resolved options
  std::string status;                           // "running", "interrupted", "done"
  ir::Workload workload;
  Mapping chosen;
  std::vector<Candidate> candidates;
  std::vector<Sensitivity> sensitivity;
  std::vector<Alternative> alternatives;  // layer by layer, in the order of the search's paths
  std::vector<TracePoint> trace;
  std::vector<ConstantRow> constants;
  std::vector<std::string> notes;  // what the reader must know: what a twin leaves out, budgets hit
  std::map<std::string, double>
      timing;  // seconds by phase; the only fields that differ between equal runs
};

// Lossless. Values of `trace`, `sensitivity` and `timing` may be infinite or NaN, written as
// strings. Without a chosen mapping (chosen.assignment empty) "chosen" is null. Candidates have a
// path for each layer of the workload, or none.
nlohmann::ordered_json to_json(const RunRecord& record);
// Throws IoError, or ConfigError with file, line and column.
RunRecord read_run_record(const std::filesystem::path& path);

}  // namespace tessera::plan
