// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/verify.h"

namespace tessera::ir {
namespace {

// Of the channel that varies most: a channel that hardly varies is not blown up beyond it.
constexpr double kLeastShare = 0.01;

// What its normalization divides each channel by.
std::vector<double> scales_of(const std::vector<double>& variance) {
  double largest = 0;
  for (const double v : variance)
    largest = std::max(largest, std::sqrt(v));
  if (largest == 0)
    largest = 1;
  std::vector<double> scales;
  for (const double v : variance)
    scales.push_back(std::max(std::sqrt(v), kLeastShare * largest));
  return scales;
}

// A constant [M, ...] with each channel divided by its scale.
Tensor divided(const Tensor& constant, const std::vector<double>& scales) {
  const auto old = constant.values<float>();
  std::vector<float> values(old.begin(), old.end());
  const std::size_t each = values.size() / scales.size();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(values[i] / scales[i / each]);
  return Tensor::from(constant.shape(), values);
}

}  // namespace

Graph insert_batch_norm(const Graph& graph, std::span<const ChannelMoments> moments) {
  Graph result;
  result.metadata = graph.metadata;
  result.batched = graph.batched;
  result.inputs = graph.inputs;
  result.outputs = graph.outputs;
  for (const Value& value : graph.values())
    result.add_value(value);

  const Wiring wiring(graph);
  for (std::uint32_t i = 0; i < graph.nodes().size(); ++i) {
    Node node = graph.nodes()[i];
    const auto at = std::ranges::find(moments, NodeId{i}, &ChannelMoments::conv);
    if (at == moments.end()) {
      result.add_node(std::move(node));
      continue;
    }
    TESSERA_CHECK(std::holds_alternative<Conv>(node.op), "'{}' is no Conv", node.name);
    const std::size_t channels = at->variance.size();
    const std::vector<double> scales = scales_of(at->variance);
    for (std::size_t input = 1; input < node.inputs.size(); ++input) {
      const ValueId id = node.inputs[input];
      Tensor constant = divided(*graph.value(id).constant, scales);
      if (wiring.consumers(id).size() == 1) {
        result.value(id).constant = std::move(constant);
      } else {
        node.inputs[input] = result.add_constant(
            fmt::format("{}.{}", graph.value(id).name, node.name), std::move(constant));
      }
    }
    const BatchNorm norm;
    std::vector<float> gamma, beta, mean, variance;
    for (std::size_t m = 0; m < channels; ++m) {
      const double scaled = at->variance[m] / (scales[m] * scales[m]);
      gamma.push_back(static_cast<float>(scales[m] * std::sqrt(scaled + norm.epsilon)));
      beta.push_back(static_cast<float>(at->mean[m]));
      mean.push_back(static_cast<float>(at->mean[m] / scales[m]));
      variance.push_back(static_cast<float>(scaled));
    }
    const ValueId made = node.outputs.at(0);
    const std::string name = node.name + ".norm";
    Value raw = graph.value(made);
    raw.name = name + ".input";
    const ValueId before = result.add_value(std::move(raw));
    node.outputs = {before};
    result.add_node(std::move(node));
    std::vector<ValueId> inputs{before};
    const auto add = [&](const char* kind, const std::vector<float>& values) {
      inputs.push_back(
          result.add_constant(fmt::format("{}.{}", name, kind),
                              Tensor::from({static_cast<std::int64_t>(channels)}, values)));
    };
    add("gamma", gamma);
    add("beta", beta);
    add("mean", mean);
    add("var", variance);
    result.add_node({.name = name, .op = norm, .inputs = std::move(inputs), .outputs = {made}});
  }
  check_verified(result, "insert_batch_norm");
  return result;
}

}  // namespace tessera::ir
