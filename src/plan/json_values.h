// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/plan/mapping.h"

#include "json_document.h"

namespace tessera::plan {

// The values that mapping.json and run.json share, each as a pair of writer and reader.

Json parts_to_json(const Path& path);
// Parts ascending and without gaps; how many channels the layer has is not known here.
Path read_parts(const JsonNode& node);

Json breakdown_to_json(const Breakdown& breakdown);
Breakdown read_breakdown(const JsonNode& node);

Json totals_to_json(const Totals& totals);
Totals read_totals(const JsonNode& node);

Json accuracy_to_json(const std::vector<Accuracy>& accuracy);
std::vector<Accuracy> read_accuracy(const JsonNode& node);

Json levels_to_json(const std::vector<LevelEnergy>& levels);
std::vector<LevelEnergy> read_levels(const JsonNode& node);

Json numerics_to_json(const Numerics& numerics);
Numerics read_numerics(const JsonNode& node);

Json workload_to_json(const ir::Workload& workload);
ir::Workload read_workload(const JsonNode& node);

// A whole mapping.json as it was written, rows included; `workload` is what its rows are of.
Mapping read_full_mapping(const JsonNode& node, const ir::Workload& workload);

}  // namespace tessera::plan
