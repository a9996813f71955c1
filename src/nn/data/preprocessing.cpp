// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/tensor/bridge.h"

namespace tessera::nn {

namespace {

constexpr const char* kMeanKey = "tessera.mean";
constexpr const char* kStdKey = "tessera.std";

std::vector<double> parse_metadata(const ir::Graph& graph, const std::string& key,
                                   std::size_t channels) {
  const auto found = graph.metadata.find(key);
  if (found == graph.metadata.end())
    throw ImportError(fmt::format("network metadata has only one of {} and {}", kMeanKey, kStdKey));
  std::vector<double> values;
  for (const std::string& part : split(found->second, ',')) {
    const std::string_view digits = trim(part);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool in_range = std::isfinite(value) && (key != kStdKey || value > 0);
    if (error != std::errc() || end != digits.data() + digits.size() || !in_range)
      throw ImportError(fmt::format("network metadata {}: '{}' is not {}", key, digits,
                                    key == kStdKey ? "a number above 0" : "a number"));
    values.push_back(value);
  }
  if (values.size() != channels)
    throw ImportError(fmt::format("network metadata {} has {} values, the data has {} channel{}",
                                  key, values.size(), channels, channels == 1 ? "" : "s"));
  return values;
}

}  // namespace

Preprocessing choose_preprocessing(const ir::Graph& graph, const Dataset& data) {
  if (!data.is_images)
    return {.mean = {}, .std = {}, .source = "as the data has them"};
  if (data.preprocessing_given)
    return data.preprocessing;
  if (graph.metadata.contains(kMeanKey) || graph.metadata.contains(kStdKey)) {
    const auto channels = static_cast<std::size_t>(data.train.images.size(1));
    return {.mean = parse_metadata(graph, kMeanKey, channels),
            .std = parse_metadata(graph, kStdKey, channels),
            .source = "network metadata"};
  }
  if (data.preprocessing.mean.empty())
    throw UsageError(fmt::format(
        "data '{}': neither the network nor the data says how images are normalized; add mean and "
        "std to the data: '{}?mean=0.5&std=0.25'",
        data.spec, data.spec));
  return data.preprocessing;
}

namespace {

// Where each of the network's inputs stands among the data's.
std::vector<std::size_t> match_inputs(const ir::Graph& graph, const Dataset& data) {
  std::vector<std::string> wanted;
  for (const ir::ValueId input : graph.inputs)
    wanted.push_back(graph.value(input).name);
  if (data.input_names.empty() && wanted.size() == 1)
    return {0};
  std::vector<std::size_t> places;
  for (const std::string& name : wanted) {
    const auto found = std::find(data.input_names.begin(), data.input_names.end(), name);
    if (found != data.input_names.end())
      places.push_back(static_cast<std::size_t>(found - data.input_names.begin()));
  }
  if (places.size() != wanted.size() || places.size() != data.input_names.size())
    throw UsageError(fmt::format(
        "data '{}' has the inputs {}, the network {}; needed: an npz file with NAME_train and "
        "NAME_test for each of the network's inputs",
        data.spec,
        data.input_names.empty() ? "x" : fmt::format("{}", fmt::join(data.input_names, ", ")),
        fmt::join(wanted, ", ")));
  return places;
}

void check_input(const ir::Value& input, const Dataset& data, const Tensor& given) {
  const auto sizes = given.sizes().slice(1);
  ir::Shape expected{1};
  expected.insert(expected.end(), sizes.begin(), sizes.end());
  if (input.shape && *input.shape != expected)
    throw UsageError(fmt::format("data '{}' has {} {}, the network's input '{}' is {}", data.spec,
                                 fmt::join(sizes, "x"), data.is_images ? "images" : "entries",
                                 input.name, ir::to_string(*input.shape)));
  if (given.is_floating_point() && input.dtype != ir::DType::kFloat32 &&
      input.dtype != ir::DType::kFloat16)
    throw UsageError(fmt::format("data '{}' has {} for the network's input '{}', which takes {}",
                                 data.spec, torch::toString(given.scalar_type()), input.name,
                                 ir::name(input.dtype)));
}

}  // namespace

void fit_inputs(const ir::Graph& graph, Dataset& data) {
  const std::vector<std::size_t> places = match_inputs(graph, data);
  data.is_images = data.is_images && graph.value(graph.inputs[0]).dtype == ir::DType::kFloat32;
  for (Split* split : {&data.train, &data.validation, &data.test}) {
    std::vector<Tensor> given{split->images};
    given.insert(given.end(), split->more_inputs.begin(), split->more_inputs.end());
    std::vector<Tensor> taken;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const ir::Value& input = graph.value(graph.inputs[i]);
      const Tensor& tensor = given[places[i]];
      check_input(input, data, tensor);
      taken.push_back(data.is_images ? tensor : tensor.to(torch_type(input.dtype)));
    }
    split->images = taken.front();
    split->more_inputs.assign(taken.begin() + 1, taken.end());
  }
  if (!data.input_names.empty()) {
    data.input_names.clear();
    for (const ir::ValueId input : graph.inputs)
      data.input_names.push_back(graph.value(input).name);
  }
}

}  // namespace tessera::nn
