// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/quant/post_training.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/ir/workload.h"

namespace tessera::nn {
namespace {

struct Pair {
  std::size_t first = 0;  // layers
  std::size_t second = 0;
};

std::int64_t groups_of(const ir::Op& op) {
  const auto* conv = std::get_if<ir::Conv>(&op);
  return conv != nullptr ? conv->groups : 1;
}

// f(s·x) = s·f(x) for s > 0.
bool keeps_scale(const ir::Op& op) {
  const auto* unary = std::get_if<ir::Unary>(&op);
  return unary != nullptr &&
         (unary->kind == ir::UnaryKind::kIdentity || unary->kind == ir::UnaryKind::kRelu ||
          unary->kind == ir::UnaryKind::kLeakyRelu);
}

std::vector<Pair> pairs_of(const ir::Graph& graph, const ir::Workload& workload) {
  std::map<std::size_t, std::size_t> layer_of;  // by node
  for (std::size_t i = 0; i < workload.layers.size(); ++i)
    layer_of[workload.layers[i].node.index()] = i;
  const ir::Wiring wiring(graph);
  const auto is_output = [&](ir::ValueId value) {
    return std::find(graph.outputs.begin(), graph.outputs.end(), value) != graph.outputs.end();
  };
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    ir::ValueId value = graph.node(workload.layers[i].node).outputs.at(0);
    while (!is_output(value) && wiring.consumers(value).size() == 1) {
      const ir::NodeId reader = wiring.consumers(value).front();
      const auto second = layer_of.find(reader.index());
      if (second != layer_of.end()) {
        pairs.push_back({i, second->second});
        break;
      }
      if (!keeps_scale(graph.node(reader).op))
        break;
      value = graph.node(reader).outputs.at(0);
    }
  }
  return pairs;
}

// Largest |weight| on each input channel, [C].
Tensor largest_on_inputs(const Tensor& weight, std::int64_t groups) {
  return weight.reshape({groups, weight.size(0) / groups, weight.size(1), -1})
      .abs()
      .amax({1, 3})
      .reshape({-1});
}

// [M, C/G, 1…], what multiplies weights whose input channels are multiplied by `scale` [C].
Tensor on_weights(const Tensor& scale, const Tensor& weight, std::int64_t groups) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(weight.dim()), 1);
  shape[0] = weight.size(0);
  shape[1] = weight.size(1);
  return scale.view({groups, 1, -1})
      .expand({groups, weight.size(0) / groups, weight.size(1)})
      .reshape(shape);
}

// How far the scales were off 1, at most.
double equalize(const LayerParameters& first, const LayerParameters& second, std::int64_t groups) {
  const Tensor out = first.weight.reshape({first.weight.size(0), -1}).abs().amax(1);
  const Tensor in = largest_on_inputs(second.weight, groups);
  // A channel that is zero on one side has nothing to share.
  const Tensor scale =
      torch::where((out > 0).logical_and(in > 0), (out / in).sqrt(), torch::ones_like(out));
  std::vector<std::int64_t> rows(static_cast<std::size_t>(first.weight.dim()), 1);
  rows[0] = -1;
  first.weight.div_(scale.view(rows));
  if (first.bias.defined())
    first.bias.div_(scale);
  second.weight.mul_(on_weights(scale, second.weight, groups));
  return (scale - 1).abs().max().item<double>();
}

}  // namespace

std::size_t equalize_layers(Network& network) {
  constexpr int kRounds = 50;
  constexpr double kEven = 1e-3;
  const torch::NoGradGuard no_grad;
  const std::vector<Pair> pairs = pairs_of(network.graph(), network.workload());
  double off = 1;
  for (int round = 0; round < kRounds && off > kEven; ++round) {
    off = 0;
    for (const Pair& pair : pairs) {
      const ir::NodeId node = network.workload().layers[pair.second].node;
      off = std::max(off, equalize(network.layers()[pair.first], network.layers()[pair.second],
                                   groups_of(network.graph().node(node).op)));
    }
  }
  return pairs.size();
}

BiasShiftRunner::BiasShiftRunner(std::span<LayerKernel* const> kernels)
    : kernels_(kernels.begin(), kernels.end()), sums_(kernels.size()), counts_(kernels.size()) {}

Tensor BiasShiftRunner::run(const LayerCall& call) {
  const Tensor exact = apply_layer(call.op, call.x, call.weight, call.bias);
  LayerKernel* kernel = kernels_.at(call.layer);
  if (kernel == nullptr)
    return exact;
  const Tensor shift = (exact - kernel->forward(call)).to(torch::kFloat64);
  // Channels stand in dimension 1 of images, in the last one of rows.
  const bool images = std::holds_alternative<ir::Conv>(call.op);
  const Tensor rows = images ? shift.transpose(0, 1).reshape({shift.size(1), -1}).sum(1)
                             : shift.reshape({-1, shift.size(-1)}).sum(0);
  Tensor& sum = sums_[call.layer];
  sum = sum.defined() ? sum + rows : rows;
  counts_[call.layer] += shift.numel() / rows.numel();
  return exact;
}

std::size_t BiasShiftRunner::correct(Network& network) const {
  const torch::NoGradGuard no_grad;
  std::size_t corrected = 0;
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const Tensor& bias = network.layers()[i].bias;
    if (kernels_[i] == nullptr || !bias.defined())
      continue;
    TESSERA_CHECK(counts_[i] > 0, "layer {} did not run", i);
    bias.add_((sums_[i] / static_cast<double>(counts_[i])).to(bias.dtype()));
    ++corrected;
  }
  return corrected;
}

}  // namespace tessera::nn
