// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/hessian.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "ir/build_graph.h"

namespace tessera::supernet {
namespace {

using nn::Tensor;

// Convolutions, one of them depthwise with all that a window may have, and a classifier.
nn::Network small_network() {
  ir::GraphBuilder b;
  Rng rng(1);
  const auto weights = [&](const std::string& name, ir::Shape shape) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    for (float& value : values)
      value = static_cast<float>(0.4 * rng.normal());
    return b.constant(name, std::move(shape), values);
  };
  ir::ValueId x = b.input("x", {1, 2, 7, 6});
  x = b.node("conv", ir::Conv{.pads = {1, 1, 1, 1}}, {x, weights("w1", {3, 2, 3, 3})});
  x = b.node("relu", ir::Unary{.kind = ir::UnaryKind::kRelu}, {x});
  x = b.node("depthwise",
             ir::Conv{.strides = {2, 1}, .pads = {1, 0, 2, 1}, .dilations = {1, 2}, .groups = 3},
             {x, weights("w2", {3, 1, 3, 2}), weights("b2", {3})});
  x = b.node("flat", ir::Flatten{}, {x});
  constexpr std::int64_t kFeatures = 3 * 4 * 5;
  return {b.finish({b.node("fc", ir::Linear{}, {x, weights("w3", {4, kFeatures})})}), torch::kCPU};
}

nn::Dataset few_images() {
  Rng rng(2);
  nn::Dataset data;
  data.classes = 4;
  data.train = {.name = "train",
                .images = torch::zeros({6, 2, 7, 6}, torch::kUInt8),
                .labels = torch::zeros({6}, torch::kInt64)};
  auto* const pixels = data.train.images.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < data.train.images.numel(); ++i)
    pixels[i] = static_cast<std::uint8_t>(rng.below(256));
  for (std::int64_t i = 0; i < 6; ++i)
    data.train.labels.data_ptr<std::int64_t>()[i] = i % 4;
  return data;
}

const nn::Preprocessing kPreprocessing{.mean = {0.5, 0.5}, .std = {0.3, 0.3}, .source = "test"};

// Blocks of the Hessian of the mean loss, [layer][layer], each row by LibTorch's own derivatives of
// each weight.
std::vector<std::vector<Tensor>> exact_hessian(const nn::Network& start, const nn::Dataset& data) {
  const nn::Network network = start.clone();
  std::vector<Tensor> weights;
  for (const nn::LayerParameters& layer : network.layers())
    weights.push_back(layer.weight.requires_grad_(true));
  nn::FloatRunner runner;
  const Tensor loss = at::cross_entropy_loss(
      network.forward(nn::normalize(data.train.images, kPreprocessing), runner), data.train.labels);
  const auto gradients = torch::autograd::grad({loss}, weights, {}, true, true);
  std::vector<std::vector<Tensor>> blocks(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    std::vector<std::vector<Tensor>> rows(weights.size());
    for (std::int64_t j = 0; j < weights[i].numel(); ++j) {
      const auto row = torch::autograd::grad({gradients[i].flatten()[j]}, weights, {}, true);
      for (std::size_t k = 0; k < weights.size(); ++k)
        rows[k].push_back(row[k].flatten());
    }
    for (const auto& block : rows)
      blocks[i].push_back(torch::stack(block).to(torch::kFloat64));
  }
  return blocks;
}

TEST(Curvature, TracesAreThoseOfTheHessian) {
  const nn::Network network = small_network();
  const nn::Dataset data = few_images();
  constexpr std::int64_t kProbes = 2000;
  const auto found =
      curvature(network, data, kPreprocessing, {.images = 6, .probes = kProbes}, Rng(3));
  const auto blocks = exact_hessian(network, data);
  ASSERT_EQ(found.size(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const double trace = blocks[i][i].diagonal().sum().item<double>();
    // Variance of v·Hv over random signs: twice what is off the diagonal, and all other layers'.
    double variance =
        2 * (blocks[i][i].square().sum() - blocks[i][i].diagonal().square().sum()).item<double>();
    for (std::size_t k = 0; k < blocks.size(); ++k) {
      if (k != i)
        variance += blocks[i][k].square().sum().item<double>();
    }
    EXPECT_NE(trace, 0.0);
    EXPECT_NEAR(found[i].weight_trace, trace, 5 * std::sqrt(variance / kProbes)) << "layer " << i;
  }
}

TEST(Curvature, InputsTakeSquaredGradients) {
  const nn::Network network = small_network();
  const nn::Dataset data = few_images();
  const auto found = curvature(network, data, kPreprocessing, {.images = 6, .probes = 1}, Rng(3));
  nn::FloatRunner runner;
  const Tensor x = nn::normalize(data.train.images, kPreprocessing).requires_grad_(true);
  const Tensor loss =
      at::cross_entropy_loss(network.forward(x, runner), data.train.labels, {}, at::Reduction::Sum);
  const double squares = torch::autograd::grad({loss}, {x})[0].square().sum().item<double>();
  EXPECT_NEAR(found[0].input_trace, squares / 6, 1e-5 * squares);
}

}  // namespace
}  // namespace tessera::supernet
