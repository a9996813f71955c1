// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/cost/tiled.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/graph.h"
#include "tessera/ir/loop_problem.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/onnx/import.h"
#include "tessera/plan/mapping.h"
#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// A network file, canonicalized.
struct LoadedNetwork {
  ir::Graph graph;
  plan::FileRef file;
};
// `network` is a file, with sizes that it leaves open stated behind a question mark:
// "bert.onnx?input_ids=1x128&sequence=128" gives the input input_ids a shape and the dimension
// called sequence a size. Throws ImportError, UsageError for what cannot be read so, or
// UnsupportedError that names operators that are not understood.
LoadedNetwork load_network(const std::string& network,
                           onnx::Constants constants = onnx::Constants::kInMemory);
// The same without the demand that every operator is understood.
LoadedNetwork look_at_network(const std::string& network,
                              onnx::Constants constants = onnx::Constants::kInMemory);

// How the loop nests of layers on spatial units are found.
struct NestSettings {
  std::string objective = "edp";  // of parse_nest_objective()
  ir::Grouping grouping = ir::Grouping::kAsIs;
  int threads = 0;              // 0: one per core
  std::filesystem::path cache;  // keeps what was found; empty: nothing is kept
};
// The cost model of a network on a platform. Where the platform has spatial units, their loop nests
// are searched at all widths on offer, which takes seconds to minutes.
cost::TiledModel make_model(const ir::Graph& graph, const hw::Platform& platform,
                            const NestSettings& settings);
// The platform with its spatial units narrowed down to the widths that these formats need, so that
// fewer nests need be found.
hw::Platform with_widths_of(hw::Platform platform, std::span<const format::NumberFormat> formats);

// Puts all splits on the device.
void move_to(nn::Dataset& data, torch::Device device);

// For each layer the platform's candidate paths whose format is among `formats`
// ("fp16,int8,analog"; "analog" is any analog format). Throws UsageError for a format that the
// platform does not offer, with those it does; UnsupportedError when a layer is left without any.
// Empty: where the platform has spatial units all integer formats, widest first; elsewhere
// kUsualFormats.
inline constexpr std::string_view kUsualFormats = "fp16,int8,int4/a8,analog";
supernet::Space make_space(const cost::TiledModel& model, const std::string& formats);

// Puts the data's inputs into the order and types of the network, which stands in the file
// `network`. Throws UsageError when inputs, labels or the number of classes do not fit it,
// UnsupportedError when its outputs are no class scores.
void fit_data(const ir::Graph& graph, nn::Dataset& data, const std::string& network);

// Writes into the network how its input is made, for choose_preprocessing() to find.
void note_preprocessing(ir::Graph& graph, const nn::Preprocessing& preprocessing);

// A trained network that runs under a mapping read from a file.
nn::MappedNetwork load_mapped(const nn::Network& network, const plan::MappingInput& mapping,
                              const std::filesystem::path& mapping_folder,
                              const hw::Platform& platform);

// Writes trained weights, biases and kernel parameters as safetensors, named "LAYER.weight",
// "LAYER.bias", "kernel.…".
void write_weights(const std::filesystem::path& path, const nn::MappedNetwork& network);

}  // namespace tessera::flow
