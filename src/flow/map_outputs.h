// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tessera/flow/settings.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/graph.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/plan/run_record.h"

namespace tessera::flow {

// Files that the record alone determines: run.json, pareto.csv, report.html.
void write_record(const std::filesystem::path& folder, const plan::RunRecord& record);

// Those, and the record's chosen mapping: model.safetensors, model.onnx, then mapping.json.
void write_outputs(const std::filesystem::path& folder, const plan::RunRecord& record,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing);

// "mean 0.286, std 0.353 (published for fashion-mnist)".
std::string describe(const nn::Preprocessing& preprocessing);

// Settings as text by key.
std::map<std::string, std::string> settings_by_key(const MapSettings& settings);

nn::TrainingOptions training_options(const MapSettings& settings, std::int64_t steps, double rate);

// Throws UsageError when the images' sizes or the number of classes do not fit the network.
void check_fit(const ir::Graph& graph, const nn::Dataset& data, const std::string& network);

}  // namespace tessera::flow
