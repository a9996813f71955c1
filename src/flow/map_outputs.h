// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/nn/train/mapped_network.h"
#include "tessera/plan/run_record.h"
#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// Files that the record alone determines: run.json, pareto.csv, report.html, the event file.
void write_record(const std::filesystem::path& folder, const plan::RunRecord& record);

// Name of the weights file of a mapping that is final.
inline constexpr std::string_view kFinalWeights = "model.safetensors";
// Name of a weights file that the folder's mapping.json does not refer to, for the best so far: so
// that mapping and weights fit each other at any instant.
std::string free_weights_name(const std::filesystem::path& folder);

// The network that an adapted mapping is for, as it was before training: "adapted.NUMBER.onnx",
// written when it is first met. Named without the folder, as weights are.
plan::FileRef write_adapted(const std::filesystem::path& folder, const supernet::Adapted& adapted,
                            const nn::Preprocessing& preprocessing);

// A mapping as files that the others read: its weights, model.onnx (whose metadata hold the layers'
// loop nests as "tessera.loop_nest.NAME"), then mapping.json.
void write_mapping(const std::filesystem::path& folder, const plan::Mapping& mapping,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing);

// front.csv: what a search has found so far, a row for each mapping with the formats of its layers.
void write_front(const std::filesystem::path& folder, const supernet::Space& space,
                 const std::vector<supernet::Evaluated>& front);

// Those, and the record's chosen mapping: its weights, model.onnx, then mapping.json. Weights and
// adapted networks that the new mapping does not refer to are removed.
void write_outputs(const std::filesystem::path& folder, const plan::RunRecord& record,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing);

// What each layer's other paths would change in the mapping, one layer at a time. REQUIRES: paths
// of the space and an assignment that fits, of the model's workload.
std::vector<plan::Alternative> find_alternatives(const cost::TiledModel& model,
                                                 const supernet::Space& space,
                                                 const plan::Assignment& chosen);

// "mean 0.286, std 0.353 (published for fashion-mnist)".
std::string describe(const nn::Preprocessing& preprocessing);

}  // namespace tessera::flow
