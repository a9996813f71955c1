// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include <torch/torch.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/text.h"
#include "tessera/ir/passes.h"
#include "tessera/nn/data/safetensors.h"
#include "tessera/onnx/import.h"

namespace tessera::flow {
namespace {

std::vector<double> parse_numbers(const std::string& text, const std::string& key) {
  std::vector<double> numbers;
  for (const std::string& item : split(text, ',')) {
    std::size_t used = 0;
    double number = 0;
    try {
      number = std::stod(item, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || !trim(std::string_view(item).substr(used)).empty()) {
      throw ImportError(fmt::format("network metadata {}: '{}' is not a number", key, item));
    }
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

LoadedNetwork load_network(const std::filesystem::path& path) {
  LoadedNetwork loaded;
  loaded.graph = ir::canonicalize(onnx::import_onnx(path));
  loaded.file = {.file = path.string(), .sha256 = sha256_file(path.string())};
  return loaded;
}

nn::Preprocessing preprocessing_for(const ir::Graph& graph, const nn::Dataset& data) {
  const auto mean = graph.metadata.find("tessera.mean");
  const auto std = graph.metadata.find("tessera.std");
  if (data.preprocessing_given || mean == graph.metadata.end() || std == graph.metadata.end()) {
    return data.preprocessing;
  }
  nn::Preprocessing own{.mean = parse_numbers(mean->second, "tessera.mean"),
                        .std = parse_numbers(std->second, "tessera.std"),
                        .source = "network metadata"};
  const std::size_t channels = data.preprocessing.mean.size();
  if (own.mean.size() != channels || own.std.size() != channels) {
    throw ImportError(
        fmt::format("network metadata tessera.mean and tessera.std: {} and {} values, the images "
                    "of {} have {} channels",
                    own.mean.size(), own.std.size(), data.spec, channels));
  }
  return own;
}

void move_to(nn::Dataset& data, torch::Device device) {
  data.train = nn::to_device(data.train, device);
  data.validation = nn::to_device(data.validation, device);
  data.test = nn::to_device(data.test, device);
}

supernet::Space make_space(const cost::TiledModel& model, const std::string& formats) {
  const auto kind = [](const plan::Path& path) {
    const format::NumberFormat& number = path.parts.front().format;
    return std::holds_alternative<format::Analog>(number) ? std::string("analog")
                                                          : format::to_string(number);
  };
  std::vector<std::string> offered;
  for (std::size_t layer = 0; layer < model.workload().layers.size(); ++layer) {
    for (const plan::Path& path : model.candidate_paths(layer)) {
      if (std::find(offered.begin(), offered.end(), kind(path)) == offered.end()) {
        offered.push_back(kind(path));
      }
    }
  }
  std::vector<std::string> wanted;
  for (const std::string& item : split(formats, ',')) {
    wanted.emplace_back(trim(item));
    if (std::find(offered.begin(), offered.end(), wanted.back()) == offered.end()) {
      throw UsageError("formats: " +
                       unknown_name("format of " + model.platform().name, wanted.back(), offered));
    }
  }
  supernet::Space space;
  for (std::size_t layer = 0; layer < model.workload().layers.size(); ++layer) {
    auto& paths = space.emplace_back();
    // In the order asked for: the first is the reference of the sensitivity measurement.
    for (const std::string& format : wanted) {
      for (const plan::Path& path : model.candidate_paths(layer)) {
        if (kind(path) == format)
          paths.push_back(path);
      }
    }
    if (paths.empty()) {
      throw UnsupportedError(fmt::format("layer {}: {} offers none of the formats {}",
                                         model.workload().layers[layer].name, model.platform().name,
                                         fmt::join(wanted, ", ")));
    }
  }
  return space;
}

std::optional<plan::Assignment> assign(
    const cost::TiledModel& model, const std::function<bool(const format::NumberFormat&)>& wanted,
    const std::function<bool(const format::NumberFormat&)>& otherwise) {
  plan::Assignment assignment;
  for (std::size_t layer = 0; layer < model.workload().layers.size(); ++layer) {
    const std::vector<plan::Path> paths = model.candidate_paths(layer);
    const auto with = [&](const auto& accepts) {
      return std::find_if(paths.begin(), paths.end(), [&](const plan::Path& path) {
        return accepts(path.parts.front().format);
      });
    };
    auto chosen = with(wanted);
    if (chosen == paths.end())
      chosen = with(otherwise);
    if (chosen == paths.end())
      return std::nullopt;
    assignment.paths.push_back(*chosen);
  }
  return assignment;
}

nn::MappedNetwork load_mapped(const nn::Network& network, const plan::MappingInput& mapping,
                              const std::filesystem::path& mapping_folder,
                              const hw::Platform& platform) {
  const plan::Assignment assignment = plan::assignment_for(mapping, network.workload());
  nn::MappedNetwork mapped(network, assignment, platform, mapping.numerics);
  if (mapping.weights.empty())
    return mapped;
  const std::filesystem::path path = mapping_folder / mapping.weights;
  const nn::SafeTensors file = nn::read_safetensors(path);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < assignment.paths.size(); ++i) {
    const std::string& name = network.workload().layers[i].name;
    const auto put = [&](const torch::Tensor& target, const std::string& key) {
      if (!target.defined())
        return;
      const auto found = file.tensors.find(key);
      if (found == file.tensors.end() || found->second.sizes() != target.sizes()) {
        throw IoError(fmt::format("{}: '{}' is missing or has another shape than the network's",
                                  path.string(), key));
      }
      target.copy_(found->second);
    };
    put(mapped.network().layers()[i].weight, name + ".weight");
    put(mapped.network().layers()[i].bias, name + ".bias");
  }
  mapped.load_kernel_state(file.tensors);
  return mapped;
}

void write_weights(const std::filesystem::path& path, const nn::MappedNetwork& network) {
  nn::SafeTensors file;
  file.tensors = network.kernel_state();
  for (std::size_t i = 0; i < network.network().layers().size(); ++i) {
    const std::string& name = network.network().workload().layers[i].name;
    const nn::LayerParameters& parameters = network.network().layers()[i];
    file.tensors[name + ".weight"] = parameters.weight.detach();
    if (parameters.bias.defined())
      file.tensors[name + ".bias"] = parameters.bias.detach();
  }
  nn::write_safetensors(path, file);
}

}  // namespace tessera::flow
