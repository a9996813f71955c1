// SPDX-License-Identifier: Apache-2.0
// Integer layers against loops over int64, written out.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "tessera/ir/verify.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/layer_fixture.h"

namespace tessera::nn {
namespace {

using test::OneLayer;

RangeObserver observed(const Tensor& x) {
  RangeObserver observer;
  observer.add(x);
  return observer;
}

plan::LayerNumerics numerics_of(const OneLayer& layer, int weight_bits, int input_bits,
                                WeightGranularity granularity = WeightGranularity::kPerChannel) {
  return {.weights = weight_code(layer.weight, weight_bits, RangeMethod::kMse, granularity),
          .input = activation_code(observed(layer.x), input_bits, {})};
}

// What one output is: the integer sum and bias, then one float multiplication.
float finish(std::int64_t sum, const OneLayer& layer, const plan::LayerNumerics& numerics,
             std::int64_t m) {
  const auto channel =
      numerics.weights.scales.size() == 1 ? std::size_t{0} : static_cast<std::size_t>(m);
  const float scale = numerics.input.scales[0] * numerics.weights.scales[channel];
  if (layer.bias.defined()) {
    const double bias =
        static_cast<double>(layer.bias[m].item<float>()) / static_cast<double>(scale);
    sum += static_cast<std::int64_t>(std::nearbyint(bias));
  }
  return static_cast<float>(sum) * scale;
}

Tensor naive_conv(const OneLayer& layer, const plan::LayerNumerics& numerics) {
  const auto& op = std::get<ir::Conv>(layer.op);
  const Tensor xq =
      (quantize(layer.x, numerics.input) - numerics.input.zero_points[0]).contiguous();
  const Tensor wq = quantize(layer.weight, numerics.weights).contiguous();
  const auto x = xq.accessor<std::int32_t, 4>();
  const auto w = wq.accessor<std::int32_t, 4>();
  const std::int64_t P =
      (x.size(2) + op.pads[0] + op.pads[2] - op.dilations[0] * (w.size(2) - 1) - 1) /
          op.strides[0] +
      1;
  const std::int64_t Q =
      (x.size(3) + op.pads[1] + op.pads[3] - op.dilations[1] * (w.size(3) - 1) - 1) /
          op.strides[1] +
      1;
  Tensor y = torch::zeros({x.size(0), w.size(0), P, Q});
  const std::int64_t outputs_per_group = w.size(0) / op.groups;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t m = 0; m < w.size(0); ++m)
      for (std::int64_t p = 0; p < P; ++p)
        for (std::int64_t q = 0; q < Q; ++q) {
          std::int64_t sum = 0;
          for (std::int64_t c = 0; c < w.size(1); ++c)
            for (std::int64_t r = 0; r < w.size(2); ++r)
              for (std::int64_t s = 0; s < w.size(3); ++s) {
                const std::int64_t h = p * op.strides[0] + r * op.dilations[0] - op.pads[0];
                const std::int64_t v = q * op.strides[1] + s * op.dilations[1] - op.pads[1];
                if (h < 0 || h >= x.size(2) || v < 0 || v >= x.size(3))
                  continue;
                const std::int64_t channel = m / outputs_per_group * w.size(1) + c;
                sum += std::int64_t{x[n][channel][h][v]} * w[m][c][r][s];
              }
          y.index_put_({n, m, p, q}, finish(sum, layer, numerics, m));
        }
  return y;
}

struct Case {
  const char* name;
  ir::Conv conv;
  test::ConvShape shape;
  int weight_bits = 8;
  int input_bits = 8;
};

class IntegerConv : public testing::TestWithParam<Case> {};

TEST_P(IntegerConv, EqualsLoopsOverIntegersBitForBit) {
  const Case& c = GetParam();
  OneLayer layer = test::conv_layer(c.conv, c.shape, 30);
  layer.x = layer.x.clamp_min(-0.4);  // lopsided: a zero point that is not zero
  const plan::LayerNumerics numerics = numerics_of(layer, c.weight_bits, c.input_bits);
  EXPECT_TRUE(integer_layer(layer.call(), numerics).equal(naive_conv(layer, numerics)));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, IntegerConv,
    testing::Values(
        Case{.name = "plain", .conv = {}, .shape = {}},
        Case{.name = "padded", .conv = {.pads = {1, 1, 1, 1}}, .shape = {}},
        Case{.name = "uneven_pads", .conv = {.pads = {0, 2, 1, 0}}, .shape = {}},
        Case{.name = "stride", .conv = {.strides = {2, 3}, .pads = {1, 1, 1, 1}}, .shape = {}},
        Case{.name = "dilation", .conv = {.pads = {2, 2, 2, 2}, .dilations = {2, 2}}, .shape = {}},
        Case{.name = "groups", .conv = {.groups = 2}, .shape = {}},
        Case{.name = "depthwise",
             .conv = {.pads = {1, 1, 1, 1}, .groups = 8},
             .shape = {.outputs = 8}},
        Case{.name = "two_bits",
             .conv = {.pads = {1, 1, 1, 1}},
             .shape = {},
             .weight_bits = 2,
             .input_bits = 3},
        Case{.name = "four_bits", .conv = {}, .shape = {}, .weight_bits = 4},
        // Sums beyond 2^24 (and 2^31): computed in float64.
        Case{.name = "sixteen_bits", .conv = {}, .shape = {}, .weight_bits = 16, .input_bits = 16},
        Case{.name = "many_inputs",
             .conv = {},
             .shape = {.batch = 1, .channels = 256, .height = 3, .width = 3}}),
    [](const auto& test) { return test.param.name; });

TEST(IntegerLayer, LinearEqualsLoopsOverIntegers) {
  const OneLayer layer = test::linear_layer(3, 70, 5, 40);
  for (const auto granularity : {WeightGranularity::kPerTensor, WeightGranularity::kPerChannel}) {
    const plan::LayerNumerics numerics = numerics_of(layer, 8, 8, granularity);
    const Tensor xq = quantize(layer.x, numerics.input) - numerics.input.zero_points[0];
    const Tensor wq = quantize(layer.weight, numerics.weights);
    const Tensor y = integer_layer(layer.call(), numerics);
    for (std::int64_t n = 0; n < 3; ++n) {
      for (std::int64_t m = 0; m < 5; ++m) {
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < 70; ++k)
          sum += std::int64_t{xq[n][k].item<std::int32_t>()} * wq[m][k].item<std::int32_t>();
        EXPECT_EQ(y[n][m].item<float>(), finish(sum, layer, numerics, m));
      }
    }
  }
}

TEST(IntegerLayer, AgreesWithFloatsOfTheSameCodes) {
  OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {.channels = 32}, 41);
  const plan::LayerNumerics numerics = numerics_of(layer, 8, 8);
  const Tensor floats = apply_layer(layer.op, fake_quantize(layer.x, numerics.input),
                                    fake_quantize(layer.weight, numerics.weights), layer.bias);
  // The bias is off by half a step of s_x·s_w, and 288 float32 products add up with relative
  // errors of 2^-24 each: 1e-4 of outputs around 17 holds both.
  EXPECT_LT(test::largest_difference(integer_layer(layer.call(), numerics), floats), 2e-3);
}

// Against the matrix of the convolution's windows, whose rows stand in the order of the weights:
// exact sums of each group in double, then scales and bias in float32.
Tensor naive_groups(const OneLayer& layer, const plan::LayerNumerics& numerics) {
  const auto& op = std::get<ir::Conv>(layer.op);
  const Tensor codes = quantize(layer.weight, numerics.weights).flatten(1).to(torch::kFloat64);
  const std::int64_t outputs = codes.size(0);
  const Tensor x =
      (quantize(layer.x, numerics.input) - numerics.input.zero_points[0]).to(torch::kFloat64);
  const std::int64_t kernel = layer.weight.size(2);
  const Tensor windows = at::im2col(x, {kernel, kernel}, {1, 1}, {op.pads[0], op.pads[0]},
                                    {op.strides[0], op.strides[0]});
  Tensor y;
  const std::int64_t groups = (codes.size(1) + numerics.weights.group - 1) / numerics.weights.group;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t begin = g * numerics.weights.group;
    const std::int64_t end = std::min(begin + numerics.weights.group, codes.size(1));
    const Tensor sums = at::matmul(codes.slice(1, begin, end), windows.slice(1, begin, end));
    Tensor scales = torch::empty({outputs, 1});
    for (std::int64_t m = 0; m < outputs; ++m)
      scales[m] = numerics.input.scales[0] *
                  numerics.weights.scales[static_cast<std::size_t>(m * groups + g)];
    const Tensor part = sums.to(torch::kFloat32) * scales;
    y = y.defined() ? y + part : part;
  }
  y = y + layer.bias.reshape({outputs, 1});
  const std::int64_t height = (x.size(2) + 2 * op.pads[0] - kernel) / op.strides[0] + 1;
  return y.reshape({x.size(0), outputs, height, -1});
}

TEST(IntegerLayer, GroupsAddUpTheirExactSums) {
  for (const ir::Conv& conv : {ir::Conv{.pads = {1, 1, 1, 1}}, ir::Conv{.strides = {2, 2}}}) {
    OneLayer layer = test::conv_layer(conv, {}, 43);
    layer.x = layer.x.clamp_min(-0.4);
    for (const int group : {8, 32, 128}) {  // 72 weights a channel
      const plan::LayerNumerics numerics{
          .weights = weight_code(layer.weight, format::Integer{4, 8, group}, RangeMethod::kMse),
          .input = activation_code(observed(layer.x), 8, {})};
      EXPECT_TRUE(integer_layer(layer.call(), numerics).equal(naive_groups(layer, numerics)))
          << group;
    }
  }
}

TEST(IntegerLayer, GroupsOfLinearLayersAndGroupedConvolutionsAgreeWithFloats) {
  const OneLayer layers[] = {test::linear_layer(3, 70, 5, 44),
                             test::conv_layer({.groups = 2}, {}, 45)};
  for (const OneLayer& layer : layers) {
    const plan::LayerNumerics numerics{
        .weights = weight_code(layer.weight, format::Integer{4, 8, 16}, RangeMethod::kMse),
        .input = activation_code(observed(layer.x), 8, {})};
    const Tensor floats = apply_layer(layer.op, fake_quantize(layer.x, numerics.input),
                                      fake_quantize(layer.weight, numerics.weights), layer.bias);
    // 70 products add up with relative errors of 2^-24 each, of outputs around 30.
    EXPECT_LT(test::largest_difference(integer_layer(layer.call(), numerics), floats), 2e-4);
  }
}

TEST(QuantizeBias, RoundsHalfToEvenAndSaturates) {
  const Tensor bias = torch::tensor({0.25F, 0.75F, -0.25F, 1e12F, -1e12F});
  const Tensor codes = quantize_bias(bias, 0.5F, {1.0F});
  EXPECT_TRUE(codes.equal(torch::tensor(
      {0, 2, 0, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()},
      torch::kInt32)));
}

// A network of this layer alone, named "conv".
Network one_conv_network(const OneLayer& layer) {
  const auto constant = [](const Tensor& t) {
    const Tensor c = t.contiguous();
    return ir::Tensor::from(
        ir::Shape(t.sizes().begin(), t.sizes().end()),
        std::span<const float>(c.data_ptr<float>(), static_cast<std::size_t>(c.numel())));
  };
  ir::Graph graph;
  const ir::ValueId x = graph.add_value({.name = "x", .shape = ir::Shape{1, 8, 7, 6}});
  const ir::ValueId w = graph.add_constant("w", constant(layer.weight));
  const ir::ValueId b = graph.add_constant("b", constant(layer.bias));
  const ir::ValueId y = graph.add_value({.name = "y"});
  graph.add_node({.name = "conv", .op = layer.op, .inputs = {x, w, b}, .outputs = {y}});
  graph.inputs = {x};
  graph.outputs = {y};
  return Network(ir::infer_shapes(std::move(graph)), torch::kCPU);
}

TEST(IntegerRunner, RunsTheLayersItKnowsAndLeavesOthersFloat) {
  OneLayer layer = test::conv_layer({}, {}, 42);
  const Network network = one_conv_network(layer);
  const plan::LayerNumerics numerics = numerics_of(layer, 8, 8);
  IntegerRunner integers(network, {{"conv", numerics}});
  EXPECT_TRUE(network.forward(layer.x, integers).equal(naive_conv(layer, numerics)));
  IntegerRunner none(network, {});
  EXPECT_TRUE(network.forward(layer.x, none).equal(layer.exact()));
}

}  // namespace
}  // namespace tessera::nn
