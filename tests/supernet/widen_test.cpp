// SPDX-License-Identifier: Apache-2.0
// Widened networks compute what they did, in LibTorch's float32.
#include <algorithm>
#include <stdexcept>

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/hw/read_platform.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/verify.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/onnx/import.h"
#include "tessera/supernet/adapt.h"

#include "ir/build_graph.h"
#include "support/shared_files.h"

namespace tessera::supernet {
namespace {

torch::Tensor run(const ir::Graph& graph, const torch::Tensor& x) {
  const torch::NoGradGuard no_grad;
  nn::FloatRunner runner;
  return nn::Network(graph, torch::kCPU).forward(x, runner);
}

torch::Tensor random_images(ir::Shape shape, std::int64_t batch, Rng rng) {
  shape[0] = batch;
  torch::Tensor x = torch::empty(shape);
  auto* values = x.data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i)
    values[i] = static_cast<float>(rng.normal());
  return x;
}

// Relative to the range of the outputs: float32 sums of the same terms in another order.
void expect_same_outputs(const ir::Graph& before, const ir::Graph& after, Rng rng,
                         std::int64_t batch = 3) {
  const torch::Tensor x = random_images(*before.value(before.inputs[0]).shape, batch, rng);
  const torch::Tensor expected = run(before, x);
  const torch::Tensor found = run(after, x);
  ASSERT_EQ(found.sizes(), expected.sizes());
  const double range = (expected.max() - expected.min()).item<double>();
  ASSERT_GT(range, 0);
  EXPECT_LE((found - expected).abs().max().item<double>(), 1e-5 * range);
}

std::vector<std::int64_t> random_widths(const std::vector<ir::WidthGroup>& groups, Rng& rng) {
  std::vector<std::int64_t> widths;
  for (const ir::WidthGroup& group : groups) {
    const auto width = static_cast<std::uint64_t>(group.width);
    widths.push_back(group.width + static_cast<std::int64_t>(rng.below(2 * width + 1)));
  }
  return widths;
}

// Networks of random depth and widths with everything that ties channels: residual additions,
// depthwise layers with multipliers, normalization, per-channel constants, pooling, Flatten of
// several positions, shared weights, hidden layers.
class RandomNetwork {
 public:
  explicit RandomNetwork(Rng rng) : rng_(rng) {}

  ir::Graph make() {
    ir::ValueId x = b_.input("x", {1, 3, 8, 8});
    std::int64_t channels = 3;
    const int blocks = 2 + static_cast<int>(rng_.below(4));
    for (int i = 0; i < blocks; ++i)
      x = block(x, channels);
    if (rng_.below(2) == 0)
      x = b_.node("pool", ir::GlobalPool{}, {x});
    x = b_.node("flat", ir::Flatten{}, {x});
    const std::int64_t features = b_.graph.value(x).shape->back();
    x = unary(linear(x, features, 7));
    return b_.finish({linear(x, 7, 5)});
  }

 private:
  std::string fresh(const char* stem) { return stem + std::to_string(count_++); }
  ir::ValueId weights(ir::Shape shape, double low = -0.5, double high = 0.5) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    for (float& value : values)
      value = static_cast<float>(rng_.uniform(low, high));
    return b_.constant(fresh("c"), std::move(shape), values);
  }
  ir::ValueId linear(ir::ValueId x, std::int64_t in, std::int64_t out) {
    return b_.node(fresh("fc"), ir::Linear{}, {x, weights({out, in}), weights({out})});
  }
  ir::ValueId unary(ir::ValueId x) {
    static constexpr ir::UnaryKind kKinds[] = {ir::UnaryKind::kRelu, ir::UnaryKind::kHardSwish,
                                               ir::UnaryKind::kSigmoid};
    return b_.node(fresh("act"), ir::Unary{.kind = kKinds[rng_.below(3)]}, {x});
  }
  ir::ValueId conv(ir::ValueId x, std::int64_t in, std::int64_t out) {
    return b_.node(fresh("conv"), ir::Conv{.pads = {1, 1, 1, 1}},
                   {x, weights({out, in, 3, 3}), weights({out})});
  }
  ir::ValueId block(ir::ValueId x, std::int64_t& channels) {
    const auto inner = static_cast<std::int64_t>(2 + rng_.below(5));
    switch (rng_.below(5)) {
      case 0: {  // residual
        const ir::ValueId y = conv(unary(conv(x, channels, inner)), inner, channels);
        return b_.node(fresh("add"), ir::Binary{}, {y, x});
      }
      case 1: {  // expansion, depthwise with two outputs per input
        ir::ValueId y = unary(conv(x, channels, inner));
        y = b_.node(fresh("dw"), ir::Conv{.pads = {1, 1, 1, 1}, .groups = inner},
                    {y, weights({2 * inner, 1, 3, 3}), weights({2 * inner})});
        channels = 3;
        return conv(unary(y), 2 * inner, channels);
      }
      case 2: {  // normalization and a scale per channel
        channels = inner;
        ir::ValueId y = conv(x, b_.graph.value(x).shape->at(1), inner);
        y = b_.node(
            fresh("norm"), ir::BatchNorm{},
            {y, weights({inner}), weights({inner}), weights({inner}), weights({inner}, 0.5, 1.5)});
        return b_.node(fresh("mul"), ir::Binary{.kind = ir::BinaryKind::kMul},
                       {y, weights({inner, 1, 1})});
      }
      case 3: {  // one layer twice: its inputs and outputs are one width
        const ir::ValueId shared = weights({channels, channels, 3, 3});
        for (int i = 0; i < 2; ++i)
          x = b_.node(fresh("same"), ir::Conv{.pads = {1, 1, 1, 1}}, {x, shared});
        return x;
      }
      default: {  // two readers, one pooled
        channels = inner;
        const ir::ValueId y = unary(conv(x, b_.graph.value(x).shape->at(1), inner));
        const ir::ValueId p =
            b_.node(fresh("pool"), ir::Pool{.kernel = {3, 3}, .pads = {1, 1, 1, 1}}, {y});
        return b_.node(fresh("add"), ir::Binary{}, {conv(y, inner, inner), conv(p, inner, inner)});
      }
    }
  }

  Rng rng_;
  ir::GraphBuilder b_;
  int count_ = 0;
};

TEST(WidenProperty, RandomNetworksAndWidthsKeepTheirOutputs) {
  std::size_t widened = 0;
  for (std::uint64_t trial = 0; trial < 60; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(5).split(trial);
    const ir::Graph graph = RandomNetwork(rng.split("network")).make();
    const auto groups = ir::width_groups(graph);
    const auto widths = random_widths(groups, rng);
    const ir::Graph wide = ir::widen(graph, groups, widths, rng.split("widen"));
    for (std::size_t i = 0; i < groups.size(); ++i)
      widened += widths[i] > groups[i].width ? 1 : 0;
    EXPECT_EQ(ir::workload(wide), ir::resized_workload(graph, groups, widths));
    expect_same_outputs(graph, wide, rng.split("images"));
    // Once more, from what was widened.
    const auto again = ir::width_groups(wide);
    expect_same_outputs(graph,
                        ir::widen(wide, again, random_widths(again, rng), rng.split("again")),
                        rng.split("images"));
  }
  EXPECT_GT(widened, 100U);
}

// Self-attention of 5 tokens of 12 features in 2 heads, 4 wide in queries and keys and 3 in values,
// around a residual stream, with a classifier over all tokens.
ir::Graph attention(Rng rng) {
  ir::GraphBuilder b;
  const auto weights = [&](const std::string& name, ir::Shape shape) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    for (float& value : values)
      value = static_cast<float>(0.5 * rng.normal());
    return b.constant(name, std::move(shape), values);
  };
  const auto linear = [&](const std::string& name, ir::ValueId x, std::int64_t in,
                          std::int64_t out) {
    return b.node(name, ir::Linear{},
                  {x, weights(name + ".w", {out, in}), weights(name + ".b", {out})});
  };
  const auto transpose = [](std::vector<std::int64_t> order) {
    return ir::Generic{
        .type = "Transpose", .opset = 17, .attributes = {{"perm", order}}, .positions = {0}};
  };
  const ir::Generic product{.type = "MatMul", .opset = 17, .positions = {0, 1}};
  const ir::ValueId image = b.input("x", {1, 5, 6});
  const ir::ValueId x = linear("embed", image, 6, 12);
  const auto heads = [&](const std::string& name, std::int64_t width) {
    const ir::ValueId all = linear(name, x, 12, 2 * width);
    const ir::ValueId cut = b.node(name + ".cut", ir::Reshape{.sizes = {5, 2, width}}, {all});
    return b.node(name + ".heads", transpose({0, 2, 1, 3}), {cut});
  };
  const ir::ValueId query = heads("query", 4);
  const ir::ValueId key = b.node("key.t", transpose({0, 1, 3, 2}), {heads("key", 4)});
  ir::ValueId scores = b.node("scores", product, {query, key});
  scores = b.node("scale", ir::Binary{.kind = ir::BinaryKind::kMul},
                  {scores, b.constant("half", {}, {0.5F})});
  const ir::ValueId shares = b.node("softmax", ir::Softmax{.axis = 3}, {scores});
  ir::ValueId y = b.node("mix", product, {shares, heads("value", 3)});
  y = b.node("back", ir::Reshape{.sizes = {5, 6}}, {b.node("merge", transpose({0, 2, 1, 3}), {y})});
  y = b.node("add", ir::Binary{}, {linear("project", y, 6, 12), x});
  y = b.node("relu", ir::Unary{.kind = ir::UnaryKind::kRelu}, {linear("up", y, 12, 7)});
  y = b.node("flat", ir::Flatten{}, {y});
  return b.finish({linear("classify", y, 35, 3)});
}

const ir::WidthGroup& find_group(const std::vector<ir::WidthGroup>& groups,
                                 const std::string& name) {
  const auto found = std::ranges::find(groups, name, &ir::WidthGroup::name);
  if (found == groups.end())
    throw std::runtime_error("no group " + name);
  return *found;
}

TEST(WidenAttention, HeadsAndTheirWidthsGrow) {
  const ir::Graph graph = attention(Rng(1));
  const auto groups = ir::width_groups(graph);
  EXPECT_EQ(find_group(groups, "embed").kind, ir::WidthKind::kStream);
  EXPECT_EQ(find_group(groups, "query (heads)").width, 2);
  EXPECT_EQ(find_group(groups, "query (queries and keys)").width, 4);
  EXPECT_EQ(find_group(groups, "value (values)").width, 3);
  EXPECT_EQ(find_group(groups, "up").kind, ir::WidthKind::kHidden);
  ASSERT_EQ(groups.size(), 5U);
  for (const ir::WidthGroup& group : groups) {
    SCOPED_TRACE(group.name);
    for (const std::int64_t more : {1, 3})
      expect_same_outputs(graph, ir::widen(graph, group, group.width + more, Rng(2)), Rng(3));
  }
  Rng rng(4);
  const ir::Graph wide = ir::widen(graph, groups, random_widths(groups, rng), rng.split("wide"));
  expect_same_outputs(graph, wide, Rng(3));
  expect_same_outputs(
      graph,
      ir::widen(wide, ir::width_groups(wide), random_widths(ir::width_groups(wide), rng), Rng(5)),
      Rng(3));
}

// New channels of queries and keys start with a gradient: at zero the keys learn, copies of
// queries with them.
TEST(WidenAttention, NewKeysAreZeroAndNewQueriesAreNot) {
  const ir::Graph graph = attention(Rng(1));
  const auto groups = ir::width_groups(graph);
  const ir::WidthGroup& group = find_group(groups, "query (queries and keys)");
  const ir::Graph wide = ir::widen(graph, group, 6, Rng(2));
  const auto row_norm = [&](const std::string& name, std::int64_t row) {
    const auto& value = *std::ranges::find(wide.values(), name, &ir::Value::name);
    const auto elements = value.constant->values<float>();
    double sum = 0;
    for (std::int64_t i = 0; i < 12; ++i)
      sum += std::abs(static_cast<double>(elements[static_cast<std::size_t>(row * 12 + i)]));
    return sum;
  };
  for (const std::int64_t row : {4, 5, 10, 11}) {  // the new ones of both heads
    EXPECT_EQ(row_norm("key.w", row), 0.0) << row;
    EXPECT_GT(row_norm("query.w", row), 0.0) << row;
  }
  EXPECT_GT(row_norm("key.w", 6), 0.0);
}

ir::Graph test_network(const std::string& name) {
  return ir::canonicalize(
      onnx::import_onnx(testing::source_file("tests/networks/" + name + "/model.onnx")));
}

// One layer makes queries, keys and values: their widths are one.
TEST(WidenAttention, AVisionTransformerKeepsItsOutputs) {
  const ir::Graph graph = test_network("vit_dynamo");
  const auto groups = ir::width_groups(graph);
  EXPECT_EQ(std::ranges::count(groups, ir::WidthKind::kHeads, &ir::WidthGroup::kind), 2);
  EXPECT_EQ(std::ranges::count(groups, ir::WidthKind::kQueryKey, &ir::WidthGroup::kind), 2);
  EXPECT_EQ(std::ranges::count(groups, ir::WidthKind::kHidden, &ir::WidthGroup::kind), 2);
  for (const ir::WidthGroup& group : groups) {
    SCOPED_TRACE(group.name);
    expect_same_outputs(graph, ir::widen(graph, group, group.width + 3, Rng(1)), Rng(2), 1);
  }
  Rng rng(3);
  expect_same_outputs(graph, ir::widen(graph, groups, random_widths(groups, rng), Rng(4)), Rng(2),
                      1);
}

TEST(WidenAttention, ALanguageModelHasItsValuesApart) {
  const auto groups = ir::width_groups(test_network("bert_qa_dynamo"));
  for (const ir::WidthKind kind : {ir::WidthKind::kHeads, ir::WidthKind::kQueryKey,
                                   ir::WidthKind::kValue, ir::WidthKind::kHidden})
    EXPECT_EQ(std::ranges::count(groups, kind, &ir::WidthGroup::kind), 2) << ir::name(kind);
}

class SharedNetworks : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedNetworks, KeepTheirOutputsWhenWidenedToTheTiles) {
  TESSERA_SHARED_OR_SKIP(path, std::string("models/") + GetParam() + ".onnx");
  const ir::Graph graph = ir::canonicalize(onnx::import_onnx(path));
  const hw::Platform platform =
      hw::load_platform("hermes", {testing::source_file("configs/hardware")});
  const auto groups = ir::width_groups(graph);
  const auto chain = adaptations(graph, groups, platform, {.extra_tiles = 4});
  ASSERT_GT(chain.size(), 1U);
  expect_same_outputs(graph, ir::widen(graph, groups, chain.back().widths, Rng(1)), Rng(2));
  Rng rng(3);
  for (const ir::WidthGroup& group : groups) {
    SCOPED_TRACE(group.name);
    const auto more = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(group.width)));
    expect_same_outputs(graph, ir::widen(graph, group, group.width + 1 + more, Rng(1)), Rng(2));
  }
}

INSTANTIATE_TEST_SUITE_P(All, SharedNetworks,
                         ::testing::Values("resnet8_opset13", "resnet20_opset13",
                                           "resnet20_opset20", "mobilenetv1_opset13",
                                           "mobilenetv2_opset13"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace tessera::supernet
