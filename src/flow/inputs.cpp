// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <thread>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/text.h"
#include "tessera/ir/passes.h"
#include "tessera/nn/data/safetensors.h"
#include "tessera/nn/tensor/generic.h"
#include "tessera/search/network_nests.h"

namespace tessera::flow {

namespace {

// "1x128" as sizes; none for anything else.
std::optional<ir::Shape> parse_sizes(std::string_view text) {
  ir::Shape sizes;
  for (const std::string_view part : split(text, 'x')) {
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), size);
    if (error != std::errc() || end != part.data() + part.size() || size < 1)
      return std::nullopt;
    sizes.push_back(size);
  }
  return sizes;
}

}  // namespace

LoadedNetwork look_at_network(const std::string& network, onnx::Constants constants) {
  onnx::ImportOptions options{.evaluate = nn::evaluate, .constants = constants};
  std::string file = network;
  if (const std::size_t mark = network.rfind('?');
      mark != std::string::npos && !std::filesystem::exists(network)) {
    file = network.substr(0, mark);
    const std::vector<std::string> names = onnx::open_names(file);
    for (const std::string_view entry : split(std::string_view(network).substr(mark + 1), '&')) {
      const std::size_t equals = entry.find('=');
      const std::string name(entry.substr(0, equals));
      const auto sizes =
          equals == std::string::npos ? std::nullopt : parse_sizes(entry.substr(equals + 1));
      if (!sizes)
        throw UsageError(
            fmt::format("{}: '{}' states no size; allowed: INPUT=1x3x224x224 or DIMENSION=128",
                        network, entry));
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw UsageError(
            fmt::format("{}: {}", network, unknown_name("input or dimension", name, names)));
      options.shapes[name] = *sizes;
      if (sizes->size() == 1)
        options.sizes[name] = sizes->front();
    }
  }
  LoadedNetwork loaded;
  loaded.graph = ir::canonicalize(onnx::import_onnx(file, options));
  loaded.file = {.file = network, .sha256 = sha256_file(file)};
  return loaded;
}

LoadedNetwork load_network(const std::string& network, onnx::Constants constants) {
  LoadedNetwork loaded = look_at_network(network, constants);
  try {
    ir::workload(loaded.graph);
  } catch (const UnsupportedError& error) {
    throw UnsupportedError(fmt::format("{}: {}", network, error.what()));
  }
  return loaded;
}

cost::TiledModel make_model(const ir::Graph& graph, const hw::Platform& platform,
                            const NestSettings& settings) {
  const ir::Workload workload = ir::workload(graph);
  std::vector<search::LayerProblem> problems;
  for (const ir::Layer& layer : workload.layers) {
    problems.push_back(
        {layer.name, ir::conv_problem(ir::conv_shape(graph, layer, settings.grouping))});
  }
  search::NetworkNestOptions options;
  options.search.objective = search::parse_nest_objective(settings.objective);
  options.search.threads = settings.threads > 0
                               ? settings.threads
                               : static_cast<int>(std::thread::hardware_concurrency());
  if (!settings.cache.empty())
    options.cache = settings.cache;
  return {workload, platform, search::find_network_nests(problems, platform, options)};
}

hw::Platform with_widths_of(hw::Platform platform, std::span<const format::NumberFormat> formats) {
  for (hw::Unit& unit : platform.units) {
    auto* array = std::get_if<hw::ArrayUnit>(&unit);
    if (array == nullptr)
      continue;
    const auto narrow = [&](std::vector<int>& widths, int (*bits)(const format::NumberFormat&)) {
      std::vector<int> needed;
      for (const int width : widths) {
        if (std::any_of(formats.begin(), formats.end(),
                        [&](const auto& format) { return bits(format) == width; }))
          needed.push_back(width);
      }
      if (!needed.empty())
        widths = std::move(needed);
    };
    narrow(array->weight_bits, format::weight_bits);
    narrow(array->activation_bits, format::activation_bits);
  }
  return platform;
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
  const auto& units = model.platform().units;
  const bool has_arrays = std::any_of(units.begin(), units.end(), [](const hw::Unit& unit) {
    return std::holds_alternative<hw::ArrayUnit>(unit);
  });
  if (formats.empty() && has_arrays) {
    std::copy_if(offered.rbegin(), offered.rend(), std::back_inserter(wanted),
                 [](const std::string& name) { return name.starts_with("int"); });
  }
  const std::string named = !formats.empty() ? formats
                            : has_arrays     ? std::string()
                                             : std::string(kUsualFormats);
  for (const std::string& item :
       named.empty() ? std::vector<std::string>() : format::split_formats(named)) {
    const auto number = format::parse_number_format(item);
    wanted.push_back(number ? format::to_string(*number) : item);
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

namespace {

// Of what Network::forward() returns, without the batch.
ir::Shape output_shape(const ir::Graph& graph, const std::string& network) {
  std::vector<std::string> shapes;
  for (const ir::ValueId output : graph.outputs) {
    const auto& shape = graph.value(output).shape;
    if (!shape || shape->size() < 2)
      throw UnsupportedError(fmt::format("{}: output '{}' is {}, no class scores for each entry",
                                         network, graph.value(output).name,
                                         shape ? ir::to_string(*shape) : "of unknown shape"));
    shapes.push_back(ir::to_string(*shape));
  }
  if (std::any_of(shapes.begin(), shapes.end(),
                  [&](const std::string& shape) { return shape != shapes.front(); }))
    throw UnsupportedError(fmt::format(
        "{}: its outputs are {}; allowed: class scores in one output, or in several of one shape",
        network, fmt::join(shapes, ", ")));
  ir::Shape shape = *graph.value(graph.outputs.front()).shape;
  if (shapes.size() > 1)
    shape.push_back(static_cast<std::int64_t>(shapes.size()));
  shape.erase(shape.begin());
  return shape;
}

}  // namespace

void fit_data(const ir::Graph& graph, nn::Dataset& data, const std::string& network) {
  nn::fit_inputs(graph, data);
  const ir::Shape outputs = output_shape(graph, network);
  const ir::Shape labels = data.test.labels.sizes().slice(1).vec();
  const auto without = [&](std::size_t axis) {
    ir::Shape rest = outputs;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(axis));
    return rest;
  };
  const ir::Shape first = without(0);
  const ir::Shape last = without(outputs.size() - 1);
  const bool whole = labels.empty() && ir::element_count(first) == 1;
  if (!whole && labels != first && labels != last)
    throw UsageError(fmt::format(
        "{}: its outputs are {} for an entry, the labels of {} are {}; allowed: labels {} where "
        "classes come first, {} where they come last",
        network, ir::to_string(outputs), data.spec,
        labels.empty() ? "one for an entry" : ir::to_string(labels), ir::to_string(first),
        ir::to_string(last)));
  const std::int64_t scores = whole || labels == first ? outputs.front() : outputs.back();
  if (scores < data.classes)
    throw UsageError(fmt::format("{}: has {} class scores, {} has {} classes", network, scores,
                                 data.spec, data.classes));
}

void note_preprocessing(ir::Graph& graph, const nn::Preprocessing& preprocessing) {
  if (preprocessing.mean.empty())
    return;
  graph.metadata["tessera.mean"] = fmt::format("{}", fmt::join(preprocessing.mean, ","));
  graph.metadata["tessera.std"] = fmt::format("{}", fmt::join(preprocessing.std, ","));
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
  const nn::TensorMap tensors(file.tensors.begin(), file.tensors.end());
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < assignment.paths.size(); ++i) {
    const std::string& name = network.workload().layers[i].name;
    const auto put = [&](const torch::Tensor& target, const std::string& key) {
      if (!target.defined())
        return;
      const auto found = tensors.find(key);
      if (found == tensors.end() || found->second.sizes() != target.sizes()) {
        throw IoError(fmt::format("{}: '{}' is missing or has another shape than the network's",
                                  path.string(), key));
      }
      target.copy_(found->second);
    };
    put(mapped.network().layers()[i].weight, name + ".weight");
    put(mapped.network().layers()[i].bias, name + ".bias");
  }
  mapped.load_kernel_state(tensors);
  return mapped;
}

void write_weights(const std::filesystem::path& path, const nn::MappedNetwork& network) {
  nn::TensorMap tensors = network.kernel_state();
  for (std::size_t i = 0; i < network.network().layers().size(); ++i) {
    const std::string& name = network.network().workload().layers[i].name;
    const nn::LayerParameters& parameters = network.network().layers()[i];
    tensors[name + ".weight"] = parameters.weight.detach();
    if (parameters.bias.defined())
      tensors[name + ".bias"] = parameters.bias.detach();
  }
  nn::SafeTensors file;
  file.tensors.assign(tensors.begin(), tensors.end());
  nn::write_safetensors(path, file);
}

}  // namespace tessera::flow
