// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/quant/post_training.h"

#include <cmath>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "tessera/core/rng.h"
#include "tessera/ir/verify.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/layer_fixture.h"

namespace tessera::nn {
namespace {

using test::largest_difference;
using test::normal;

// Convolutions one after the other with an activation between them: 3 → 8 channels, depthwise,
// 8 → 4.
ir::Graph chain(const ir::Unary& activation) {
  ir::Graph graph;
  ir::ValueId value = graph.add_value({.name = "x", .shape = ir::Shape{1, 3, 9, 9}});
  graph.inputs = {value};
  const auto append = [&](const std::string& name, const ir::Op& op,
                          std::vector<ir::ValueId> inputs) {
    value = graph.add_value({.name = name + "_out"});
    graph.add_node({.name = name, .op = op, .inputs = std::move(inputs), .outputs = {value}});
  };
  const auto constant = [&](const std::string& name, const ir::Shape& shape, std::uint64_t seed) {
    std::vector<float> values;
    // Channels of very different sizes: what equalisation is for.
    Rng rng(seed);
    const std::int64_t per_channel = ir::element_count(shape) / shape.front();
    for (std::int64_t m = 0; m < shape.front(); ++m) {
      const double size = std::exp(3 * rng.uniform(-1, 1));
      for (std::int64_t i = 0; i < per_channel; ++i)
        values.push_back(static_cast<float>(size * rng.uniform(-1, 1)));
    }
    return graph.add_constant(name, ir::Tensor::from(shape, values));
  };
  const auto layer = [&](const std::string& name, std::int64_t inputs, std::int64_t outputs,
                         std::int64_t groups, std::uint64_t seed) {
    append(name, ir::Conv{.pads = {1, 1, 1, 1}, .groups = groups},
           {value, constant(name + "_w", {outputs, inputs / groups, 3, 3}, seed),
            constant(name + "_b", {outputs}, seed + 1)});
  };
  layer("a", 3, 8, 1, 1);
  append("act1", activation, {value});
  layer("b", 8, 8, 8, 3);
  append("act2", activation, {value});
  layer("c", 8, 4, 1, 5);
  graph.outputs = {value};
  return ir::infer_shapes(graph);
}

Tensor run(const Network& network, const Tensor& x) {
  FloatRunner runner;
  const torch::NoGradGuard no_grad;
  return network.forward(x, runner);
}

TEST(EqualizeLayers, KeepsTheFunctionAndEvensOutTheChannels) {
  for (const ir::UnaryKind kind : {ir::UnaryKind::kRelu, ir::UnaryKind::kLeakyRelu}) {
    Network network(chain({.kind = kind, .alpha = 0.1F}), torch::kCPU);
    const Tensor x = normal({4, 3, 9, 9}, 9);
    const Tensor before = run(network, x);
    EXPECT_EQ(equalize_layers(network), 2U);
    const Tensor after = run(network, x);
    EXPECT_LE(largest_difference(before, after), 1e-5 * before.abs().max().item<double>());

    const auto& layers = network.layers();
    const Tensor out_of_a = layers[0].weight.abs().amax({1, 2, 3});
    const Tensor into_b = layers[1].weight.abs().amax({1, 2, 3});
    const Tensor into_c = layers[2].weight.abs().amax({0, 2, 3});
    EXPECT_LE(((out_of_a / into_b) - 1).abs().max().item<double>(), 5e-3);
    EXPECT_LE(((into_b / into_c) - 1).abs().max().item<double>(), 5e-3);
  }
}

TEST(EqualizeLayers, LeavesAloneWhatWouldChangeTheFunction) {
  Network network(chain({.kind = ir::UnaryKind::kClip, .alpha = 0, .beta = 6}), torch::kCPU);
  const Tensor weight = network.layers()[0].weight.detach().clone();
  EXPECT_EQ(equalize_layers(network), 0U);
  EXPECT_TRUE(network.layers()[0].weight.equal(weight));
}

TEST(BiasShiftRunner, TakesOutTheMeanErrorOfEveryChannel) {
  Network network(chain({.kind = ir::UnaryKind::kRelu}), torch::kCPU);
  const Tensor x = normal({16, 3, 9, 9}, 9);
  ObservingRunner observing(3);
  const torch::NoGradGuard no_grad;
  network.forward(x, observing);
  std::vector<std::unique_ptr<IntegerKernel>> kernels;
  std::vector<LayerKernel*> used;
  for (const RangeObserver& range : observing.observers()) {
    kernels.push_back(std::make_unique<IntegerKernel>(format::Integer{3, 4},
                                                      activation_code(range, 4, {}), torch::kCPU));
    kernels.back()->set_training(false);
    used.push_back(kernels.back().get());
  }
  used[1] = nullptr;
  const Tensor untouched = network.layers()[1].bias.clone();

  BiasShiftRunner runner(used);
  for (const Tensor& half : x.chunk(2))
    network.forward(half, runner);
  EXPECT_EQ(runner.correct(network), 2U);
  EXPECT_TRUE(network.layers()[1].bias.equal(untouched));

  // What is left on the same images: the float network's biases have moved by the same, so that
  // the two differ by the shift that was there, of which nothing remains.
  Network exact(chain({.kind = ir::UnaryKind::kRelu}), torch::kCPU);
  const LayerParameters& corrected = network.layers()[0];
  const LayerParameters& original = exact.layers()[0];
  const ir::Op& op = network.graph().node(network.workload().layers[0].node).op;
  const Tensor wanted = apply_layer(op, x, original.weight, original.bias);
  const Tensor found = used[0]->forward(
      {.layer = 0, .op = op, .x = x, .weight = corrected.weight, .bias = corrected.bias});
  const Tensor shift = (wanted - found).mean(at::IntArrayRef{0, 2, 3});
  const Tensor plain = used[0]->forward(
      {.layer = 0, .op = op, .x = x, .weight = original.weight, .bias = original.bias});
  const Tensor shift_before = (wanted - plain).mean(at::IntArrayRef{0, 2, 3});
  EXPECT_GT(shift_before.abs().max().item<double>(), 1e-3);
  EXPECT_LE(shift.abs().max().item<double>(), 1e-4 * shift_before.abs().max().item<double>());
}

RangeObserver observed(const Tensor& x) {
  RangeObserver observer;
  observer.add(x);
  return observer;
}

double top_of(const plan::AffineCode& code) {
  return static_cast<double>(code.scales[0]) * (code.high - code.zero_points[0]);
}

TEST(EntropyRanges, KeepAllOfAFlatDistributionAndCutALongTail) {
  const CalibrationOptions entropy{.method = RangeMethod::kEntropy};
  const Tensor flat = torch::linspace(0, 1, 100000);
  EXPECT_NEAR(top_of(activation_code(observed(flat), 4, entropy)), 1, 0.02);

  // Nearly all of an exponential lies below 8; one value lies at 100.
  const Tensor tail =
      torch::cat({-torch::linspace(1e-4, 1, 100000).log(), torch::tensor({100.0F})});
  const double top = top_of(activation_code(observed(tail), 4, entropy));
  EXPECT_LT(top, 30);
  EXPECT_GT(top, 2);
}

TEST(EntropyRanges, DivergenceIsNothingWhereEveryBinHasItsStep) {
  const Tensor x = torch::tensor({0.5F, 1.5F, 1.5F, 2.5F, 3.5F});
  const RangeObserver observer = observed(x);
  EXPECT_NEAR(observer.divergence(1.0 / 1024, 0, -8192, 8191), 0, 1e-12);
  // All in one step, as if spread evenly over four bins: p = .2, .4, .2, .2 against q = .25 each.
  const double p[] = {0.2, 0.4, 0.2, 0.2};
  double expected = 0;
  for (const double value : p)
    expected += value * std::log(value / 0.25);
  EXPECT_NEAR(observer.divergence(100, 0, -1, 1), expected, 1e-12);
  // The two largest values go to the bin of 1.5: p = .2, .8; q = 1/3, 2/3 by what lies inside.
  const double beyond = 0.2 * std::log(0.2 / (1.0 / 3)) + 0.8 * std::log(0.8 / (2.0 / 3));
  EXPECT_NEAR(observer.divergence(1.0 / 1024, 0, 0, 2047), beyond, 1e-12);
}

}  // namespace
}  // namespace tessera::nn
