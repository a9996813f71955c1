// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/nn/data/dataset.h"

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

void check_fits(const ir::Graph& graph, const Dataset& data) {
  if (graph.inputs.size() != 1)
    throw UsageError(
        fmt::format("the network has {} inputs; image data feeds one", graph.inputs.size()));
  const ir::Value& input = graph.value(graph.inputs.front());
  if (!input.shape)
    return;
  const auto image = data.train.images.sizes().slice(1);
  ir::Shape expected{1};
  expected.insert(expected.end(), image.begin(), image.end());
  if (*input.shape != expected)
    throw UsageError(fmt::format("data '{}' has {} images, the network's input '{}' is {}",
                                 data.spec, image_size(data.train), input.name,
                                 ir::to_string(*input.shape)));
}

}  // namespace tessera::nn
