// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"
#include "tessera/ir/verify.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/tensor/layer_kernel.h"

namespace tessera::nn {
namespace {

using ::testing::HasSubstr;

// Builds graphs node by node; random weights from a fixed seed.
class Builder {
 public:
  explicit Builder(ir::Shape input) {
    last_ = graph_.add_value({.name = "x", .shape = std::move(input)});
    graph_.inputs = {last_};
  }

  ir::ValueId constant(const ir::Shape& shape, double low = -1, double high = 1) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    for (float& value : values)
      value = static_cast<float>(rng_.uniform(low, high));
    return graph_.add_constant("c" + std::to_string(graph_.values().size()),
                               ir::Tensor::from(shape, values));
  }

  // Appends a node that reads the last value and these.
  Builder& add(const ir::Op& op, const std::vector<ir::ValueId>& more = {}) {
    const std::string name = "n" + std::to_string(graph_.nodes().size());
    std::vector<ir::ValueId> inputs{last_};
    inputs.insert(inputs.end(), more.begin(), more.end());
    last_ = graph_.add_value({.name = name + "_out"});
    graph_.add_node({.name = name, .op = op, .inputs = std::move(inputs), .outputs = {last_}});
    return *this;
  }

  ir::ValueId last() const { return last_; }

  ir::Graph build() {
    graph_.outputs = {last_};
    return ir::infer_shapes(graph_);
  }

 private:
  ir::Graph graph_;
  ir::ValueId last_;
  Rng rng_{7};
};

torch::Tensor random_input(c10::IntArrayRef shape) {
  Rng rng(11);
  torch::Tensor x = torch::empty(shape);
  auto* values = x.data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i)
    values[i] = static_cast<float>(rng.uniform(-1, 1));
  return x;
}

torch::Tensor run(const ir::Graph& graph, const torch::Tensor& x) {
  FloatRunner runner;
  return Network(graph, torch::kCPU).forward(x, runner).detach();
}

// Every output by its definition in ir/ops.h, in double.
torch::Tensor conv_by_definition(const torch::Tensor& x, const torch::Tensor& w,
                                 const ir::Conv& op) {
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2), width = x.size(3);
  const std::int64_t m = w.size(0), per_group = w.size(1), r = w.size(2), s = w.size(3);
  const auto out = [&](std::int64_t size, std::int64_t kernel, int axis) {
    return (size + op.pads[axis] + op.pads[axis + 2] - op.dilations[axis] * (kernel - 1) - 1) /
               op.strides[axis] +
           1;
  };
  const std::int64_t p = out(h, r, 0), q = out(width, s, 1);
  torch::Tensor y = torch::zeros({n, m, p, q});
  auto xa = x.accessor<float, 4>();
  auto wa = w.accessor<float, 4>();
  auto ya = y.accessor<float, 4>();
  for (std::int64_t in = 0; in < n; ++in)
    for (std::int64_t im = 0; im < m; ++im)
      for (std::int64_t ip = 0; ip < p; ++ip)
        for (std::int64_t iq = 0; iq < q; ++iq) {
          double sum = 0;
          for (std::int64_t ic = 0; ic < per_group; ++ic)
            for (std::int64_t ir = 0; ir < r; ++ir)
              for (std::int64_t is = 0; is < s; ++is) {
                const std::int64_t row = ip * op.strides[0] - op.pads[0] + ir * op.dilations[0];
                const std::int64_t column = iq * op.strides[1] - op.pads[1] + is * op.dilations[1];
                const std::int64_t channel = im / (m / op.groups) * (c / op.groups) + ic;
                if (row >= 0 && row < h && column >= 0 && column < width)
                  sum += static_cast<double>(xa[in][channel][row][column]) *
                         static_cast<double>(wa[im][ic][ir][is]);
              }
          ya[in][im][ip][iq] = static_cast<float>(sum);
        }
  return y;
}

TEST(Network, ConvFollowsItsDefinition) {
  const std::vector<ir::Conv> cases{
      {},
      {.strides = {2, 1}, .pads = {1, 1, 1, 1}},
      {.pads = {0, 1, 2, 0}},
      {.strides = {2, 2}, .pads = {0, 0, 1, 1}, .dilations = {2, 1}},
      {.pads = {1, 1, 1, 1}, .groups = 2},
      {.pads = {1, 1, 1, 1}, .groups = 4},
  };
  for (const ir::Conv& op : cases) {
    Builder builder({1, 4, 7, 6});
    const ir::ValueId weight = builder.constant({8, 4 / op.groups, 3, 3});
    const ir::Graph graph = builder.add(op, {weight}).build();
    const torch::Tensor x = random_input({3, 4, 7, 6});
    const torch::Tensor expected =
        conv_by_definition(x, to_torch(*graph.value(weight).constant), op);
    EXPECT_TRUE(torch::allclose(run(graph, x), expected, 1e-5, 1e-5));
  }
}

TEST(Network, LinearAddsItsBiasOverTheLastAxis) {
  Builder builder({1, 5, 3});
  const ir::ValueId weight = builder.constant({4, 3});
  const ir::ValueId bias = builder.constant({4});
  const ir::Graph graph = builder.add(ir::Linear{}, {weight, bias}).build();
  const torch::Tensor x = random_input({2, 5, 3});
  const torch::Tensor expected = torch::matmul(x, to_torch(*graph.value(weight).constant).t()) +
                                 to_torch(*graph.value(bias).constant);
  EXPECT_TRUE(torch::allclose(run(graph, x), expected, 1e-6, 1e-6));
}

TEST(Network, UnaryFunctionsFollowTheirDefinitions) {
  const torch::Tensor x = torch::tensor({-4.0F, -1.0F, -0.25F, 0.0F, 0.5F, 2.0F, 5.0F, 8.0F});
  const std::vector<std::pair<ir::Unary, torch::Tensor>> cases{
      {{ir::UnaryKind::kIdentity}, x},
      {{ir::UnaryKind::kRelu}, torch::where(x > 0, x, torch::zeros_like(x))},
      {{ir::UnaryKind::kClip, 0, 6},
       torch::tensor({0.0F, 0.0F, 0.0F, 0.0F, 0.5F, 2.0F, 5.0F, 6.0F})},
      {{ir::UnaryKind::kLeakyRelu, 0.1F}, torch::where(x > 0, x, x * 0.1F)},
      {{ir::UnaryKind::kSigmoid}, 1 / (1 + torch::exp(-x))},
      {{ir::UnaryKind::kTanh}, (torch::exp(2 * x) - 1) / (torch::exp(2 * x) + 1)},
      {{ir::UnaryKind::kHardSigmoid, 0.2F, 0.5F},
       torch::tensor({0.0F, 0.3F, 0.45F, 0.5F, 0.6F, 0.9F, 1.0F, 1.0F})},
      {{ir::UnaryKind::kHardSwish},
       torch::tensor(
           {0.0F, -1.0F / 3, -0.25F * 2.75F / 6, 0.0F, 0.5F * 3.5F / 6, 5.0F / 3, 5.0F, 8.0F})},
  };
  for (const auto& [op, expected] : cases) {
    const ir::Graph graph = Builder({1, 4}).add(op).build();
    EXPECT_TRUE(torch::allclose(run(graph, x.view({2, 4})), expected.view({2, 4}), 1e-5, 1e-6))
        << ir::name(op.kind);
  }
}

TEST(Network, BinaryFunctionsBroadcastConstants) {
  const torch::Tensor x = random_input({2, 3, 2, 2});
  for (const ir::BinaryKind kind :
       {ir::BinaryKind::kAdd, ir::BinaryKind::kSub, ir::BinaryKind::kMul, ir::BinaryKind::kDiv}) {
    Builder builder({1, 3, 2, 2});
    const ir::ValueId c = builder.constant({3, 1, 1}, 1, 2);
    const ir::Graph graph = builder.add(ir::Binary{kind}, {c}).build();
    const torch::Tensor y = run(graph, x);
    const torch::Tensor b = to_torch(*graph.value(c).constant);
    const double a = x[1][2][0][1].item<double>();
    const double k = b[2][0][0].item<double>();
    const double expected = kind == ir::BinaryKind::kAdd   ? a + k
                            : kind == ir::BinaryKind::kSub ? a - k
                            : kind == ir::BinaryKind::kMul ? a * k
                                                           : a / k;
    EXPECT_NEAR(y[1][2][0][1].item<double>(), expected, 1e-6);
  }
}

// Windows by their definition: which input pixels lie in each.
torch::Tensor pool_by_definition(const torch::Tensor& x, const ir::Pool& op, std::int64_t p,
                                 std::int64_t q) {
  torch::Tensor y = torch::zeros({x.size(0), x.size(1), p, q});
  for (std::int64_t i = 0; i < p; ++i)
    for (std::int64_t j = 0; j < q; ++j) {
      const std::int64_t top = i * op.strides[0] - op.pads[0];
      const std::int64_t left = j * op.strides[1] - op.pads[1];
      const std::int64_t bottom = std::min(top + op.kernel[0], x.size(2) + op.pads[2]);
      const std::int64_t right = std::min(left + op.kernel[1], x.size(3) + op.pads[3]);
      using torch::indexing::Slice;
      const torch::Tensor window =
          x.index({Slice(), Slice(), Slice(std::max<std::int64_t>(top, 0), bottom),
                   Slice(std::max<std::int64_t>(left, 0), right)});
      const auto count =
          op.count_include_pad ? (bottom - top) * (right - left) : window.size(2) * window.size(3);
      y.index_put_({Slice(), Slice(), i, j}, op.kind == ir::PoolKind::kMax
                                                 ? window.amax({2, 3})
                                                 : window.sum({2, 3}) / count);
    }
  return y;
}

TEST(Network, PoolFollowsItsDefinition) {
  using ir::PoolKind;
  const std::vector<ir::Pool> cases{
      {.kind = PoolKind::kMax, .kernel = {2, 2}, .strides = {2, 2}},
      {.kind = PoolKind::kMax, .kernel = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}},
      {.kind = PoolKind::kMax, .kernel = {3, 3}, .strides = {2, 2}, .pads = {0, 0, 1, 1}},
      {.kind = PoolKind::kMax, .kernel = {2, 2}, .strides = {2, 2}, .ceil_mode = true},
      {.kind = PoolKind::kMax, .kernel = {2, 2}, .strides = {1, 1}, .pads = {1, 1, 0, 0}},
      {.kind = PoolKind::kAverage, .kernel = {2, 3}, .strides = {1, 2}},
      {.kind = PoolKind::kAverage, .kernel = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}},
      {.kind = PoolKind::kAverage,
       .kernel = {3, 3},
       .strides = {2, 2},
       .pads = {1, 1, 1, 1},
       .count_include_pad = true},
      {.kind = PoolKind::kAverage, .kernel = {3, 3}, .strides = {2, 2}, .pads = {0, 0, 1, 1}},
      {.kind = PoolKind::kAverage,
       .kernel = {3, 3},
       .strides = {2, 2},
       .pads = {0, 1, 1, 0},
       .count_include_pad = true},
      {.kind = PoolKind::kAverage, .kernel = {2, 2}, .strides = {2, 2}, .ceil_mode = true},
  };
  const torch::Tensor x = random_input({2, 3, 7, 8});
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const ir::Graph graph = Builder({1, 3, 7, 8}).add(cases[i]).build();
    const ir::Shape& shape = *graph.value(graph.outputs[0]).shape;
    const torch::Tensor y = run(graph, x);
    ASSERT_EQ(y.sizes().vec(), (std::vector<std::int64_t>{2, 3, shape[2], shape[3]})) << i;
    EXPECT_TRUE(torch::allclose(y, pool_by_definition(x, cases[i], shape[2], shape[3]), 1e-5, 1e-6))
        << "case " << i;
  }
}

TEST(Network, GlobalPoolKeepsTheSpatialAxes) {
  const torch::Tensor x = random_input({2, 3, 4, 5});
  const torch::Tensor mean =
      run(Builder({1, 3, 4, 5}).add(ir::GlobalPool{ir::PoolKind::kAverage}).build(), x);
  EXPECT_EQ(mean.sizes().vec(), (std::vector<std::int64_t>{2, 3, 1, 1}));
  EXPECT_NEAR(mean[1][2].item<double>(), x[1][2].mean().item<double>(), 1e-6);
  const torch::Tensor largest =
      run(Builder({1, 3, 4, 5}).add(ir::GlobalPool{ir::PoolKind::kMax}).build(), x);
  EXPECT_EQ(largest[0][1].item<float>(), x[0][1].max().item<float>());
}

TEST(Network, ShapesChangeForAnyBatch) {
  Builder builder({1, 2, 3, 4});
  builder.add(ir::Pad{.pads = {1, 0, 0, 2}, .value = 5});
  const ir::ValueId padded = builder.last();
  builder.add(ir::Concat{.axis = 1}, {padded}).add(ir::Reshape{{8, 12}}).add(ir::Flatten{});
  builder.add(ir::Softmax{.axis = 1});
  const torch::Tensor x = random_input({3, 2, 3, 4});
  const torch::Tensor y = run(builder.build(), x);
  torch::Tensor p = torch::full({3, 2, 4, 6}, 5.0F);
  using torch::indexing::Slice;
  p.index_put_({Slice(), Slice(), Slice(1, 4), Slice(0, 4)}, x);
  EXPECT_TRUE(torch::allclose(y, torch::softmax(torch::cat({p, p}, 1).flatten(1), 1)));
}

TEST(Network, FlattenTurnsAVectorIntoAColumn) {
  const torch::Tensor y = run(Builder({1}).add(ir::Flatten{}).build(), random_input({3}));
  EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{3, 1}));
}

ir::Graph batch_norm_graph() {
  Builder builder({1, 2, 4, 4});
  const ir::ValueId gamma = builder.constant({2}, 0.5, 1.5);
  const ir::ValueId beta = builder.constant({2});
  const ir::ValueId mean = builder.constant({2});
  const ir::ValueId var = builder.constant({2}, 0.5, 2);
  return builder.add(ir::BatchNorm{}, {gamma, beta, mean, var}).build();
}

TEST(Network, BatchNormUsesRunningStatisticsInEvaluation) {
  const Network network(batch_norm_graph(), torch::kCPU);
  const torch::Tensor x = random_input({3, 2, 4, 4});
  FloatRunner runner;
  const torch::Tensor y = network.forward(x, runner).detach();
  const auto state = network.named_state();
  ASSERT_EQ(state.size(), 4U);
  EXPECT_EQ(state[2].first, "n0/running_mean");
  const torch::Tensor expected = (x - state[2].second.view({1, 2, 1, 1})) /
                                     torch::sqrt(state[3].second.view({1, 2, 1, 1}) + 1e-5) *
                                     state[0].second.view({1, 2, 1, 1}) +
                                 state[1].second.view({1, 2, 1, 1});
  EXPECT_TRUE(torch::allclose(y, expected.detach(), 1e-5, 1e-5));
}

TEST(Network, BatchNormTrains) {
  Network network(batch_norm_graph(), torch::kCPU);
  network.set_training(true);
  const torch::Tensor x = random_input({8, 2, 4, 4});
  const torch::Tensor before = network.named_state()[2].second.clone();
  FloatRunner runner;
  network.forward(x, runner).square().sum().backward();
  const torch::Tensor after = network.named_state()[2].second;
  EXPECT_TRUE(torch::allclose(after, 0.9 * before + 0.1 * x.mean({0, 2, 3}), 1e-5, 1e-6));
  EXPECT_EQ(network.parameters().size(), 2U);
  for (const Tensor& parameter : network.parameters())
    EXPECT_GT(parameter.grad().abs().sum().item<double>(), 0);
}

ir::Graph small_network() {
  Builder builder({1, 2, 6, 6});
  const ir::ValueId w1 = builder.constant({4, 2, 3, 3});
  const ir::ValueId b1 = builder.constant({4});
  const ir::ValueId w2 = builder.constant({4, 4, 3, 3});
  const ir::ValueId w3 = builder.constant({3, 4});
  builder.add(ir::Conv{.pads = {1, 1, 1, 1}}, {w1, b1}).add(ir::Unary{ir::UnaryKind::kRelu});
  const ir::ValueId skip = builder.last();
  builder.add(ir::Conv{.pads = {1, 1, 1, 1}}, {w2}).add(ir::Binary{}, {skip});
  return builder.add(ir::GlobalPool{}).add(ir::Flatten{}).add(ir::Linear{}, {w3}).build();
}

TEST(Network, GradientsMatchFiniteDifferences) {
  Network network(small_network(), torch::kCPU);
  const torch::Tensor x = random_input({2, 2, 6, 6});
  FloatRunner runner;
  const auto loss = [&] { return network.forward(x, runner).square().sum(); };
  loss().backward();
  torch::Tensor weight = network.layers()[1].weight;
  const double gradient = weight.grad()[2][1][1][0].item<double>();
  const torch::NoGradGuard no_grad;
  constexpr double kStep = 1e-2;
  weight[2][1][1][0] += kStep;
  const double above = loss().item<double>();
  weight[2][1][1][0] -= 2 * kStep;
  const double below = loss().item<double>();
  // The loss is quadratic in one weight, so only float32's rounding of the two losses remains.
  EXPECT_NEAR(gradient, (above - below) / (2 * kStep), 1e-3 * std::abs(gradient) + 1e-3);
}

TEST(Network, LayersThatShareAConstantTrainItTogether) {
  Builder builder({1, 3});
  const ir::ValueId weight = builder.constant({3, 3});
  Network network(builder.add(ir::Linear{}, {weight}).add(ir::Linear{}, {weight}).build(),
                  torch::kCPU);
  EXPECT_EQ(network.layers().size(), 2U);
  EXPECT_EQ(network.parameters().size(), 1U);
}

TEST(Network, GraphRoundTripKeepsEveryBit) {
  const ir::Graph graph = small_network();
  EXPECT_EQ(Network(graph, torch::kCPU).to_graph(), graph);
}

TEST(Network, AChangedWeightReachesTheGraphAndNotTheCopy) {
  Network network(small_network(), torch::kCPU);
  const Network copy = network.clone();
  {
    const torch::NoGradGuard no_grad;
    network.layers()[0].weight.mul_(2);
  }
  const torch::Tensor x = random_input({1, 2, 6, 6});
  FloatRunner runner;
  const torch::Tensor changed = network.forward(x, runner).detach();
  EXPECT_FALSE(torch::equal(changed, copy.forward(x, runner).detach()));
  EXPECT_TRUE(torch::equal(changed, run(network.to_graph(), x)));
}

// Multiplies what the float layer gives.
class ScalingKernel final : public LayerKernel {
 public:
  Tensor forward(const LayerCall& call) override {
    return 3 * apply_layer(call.op, call.x, call.weight, call.bias);
  }
  void set_strength(double) override {}
  void set_training(bool) override {}
  void set_noise(NoiseStream) override {}
  std::vector<Tensor> parameters() const override { return {}; }
};

TEST(KernelRunner, RunsTheChosenKernelAndFloatElsewhere) {
  const Network network(small_network(), torch::kCPU);
  const torch::Tensor x = random_input({1, 2, 6, 6});
  FloatRunner exact;
  ScalingKernel triple;
  KernelRunner runner({nullptr, nullptr, nullptr});
  const torch::Tensor y = network.forward(x, exact).detach();
  EXPECT_TRUE(torch::equal(network.forward(x, runner).detach(), y));
  runner.choose(2, &triple);
  EXPECT_TRUE(torch::allclose(network.forward(x, runner).detach(), 3 * y));
}

TEST(Network, NamesWhatCannotRun) {
  ir::Graph graph = Builder({1, 4}).add(ir::Unknown{"", "LSTM", "operator not supported"}).build();
  try {
    Network(graph, torch::kCPU);
    FAIL() << "no error";
  } catch (const UnsupportedError& error) {
    EXPECT_THAT(error.what(), HasSubstr("LSTM"));
    EXPECT_THAT(error.what(), HasSubstr("n0"));
  }
}

TEST(Bridge, RoundTripsEveryType) {
  for (const ir::DType dtype :
       {ir::DType::kFloat32, ir::DType::kFloat16, ir::DType::kInt8, ir::DType::kUint8,
        ir::DType::kInt16, ir::DType::kInt32, ir::DType::kInt64, ir::DType::kBool}) {
    std::vector<std::byte> bytes(6 * ir::size_in_bytes(dtype));
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(dtype == ir::DType::kBool ? i % 2 : 17 * i % 128);
    const ir::Tensor tensor(dtype, {2, 3}, bytes);
    EXPECT_EQ(from_torch(to_torch(tensor)), tensor) << ir::name(dtype);
  }
}

TEST(Bridge, WritesRowsInOrderWhateverTheLayout) {
  const torch::Tensor x = torch::arange(6, torch::kFloat32).view({2, 3}).t();
  const ir::Tensor tensor = from_torch(x);
  EXPECT_EQ(tensor.shape(), (ir::Shape{3, 2}));
  EXPECT_EQ(tensor.values<float>()[1], 3.0F);
}

}  // namespace
}  // namespace tessera::nn
