// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/flow/settings.h"
#include "tessera/plan/run_record.h"

namespace tessera::flow {

// Where a run lives and what it is called; nothing here changes its results.
struct MapContext {
  std::filesystem::path out;
  std::string command;                                // for the record
  std::vector<std::filesystem::path> preset_folders;  // where hardware presets are looked for
};

// Reads and checks everything that a run needs, without starting it (--dry-run).
void check_map(const MapSettings& settings, const MapContext& context);

// The main job: lays the network onto the hardware and leaves the run's folder (run.json,
// resolved.yaml, mapping.json, pareto.csv, model.onnx, model.safetensors, report.html,
// checkpoint/). Continues a run that was killed. Infeasible when no mapping keeps the limits; the
// folder then still holds the front. record.status is "interrupted" after Ctrl-C, with the best so
// far.
Expected<plan::RunRecord> map_network(const MapSettings& settings, const MapContext& context);

}  // namespace tessera::flow
