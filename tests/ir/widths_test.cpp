// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/widths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Conv kSame{.pads = {1, 1, 1, 1}};
const Unary kRelu{.kind = UnaryKind::kRelu};

std::vector<std::string> names(const Graph& graph, const std::vector<NodeId>& nodes) {
  std::vector<std::string> list;
  for (const NodeId id : nodes)
    list.push_back(graph.node(id).name);
  return list;
}

// Stem, two residual blocks with identity shortcuts, pooling, classifier.
Graph residual() {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 3, 8, 8});
  x = b.node("stem", kSame, {x, b.ramp("stem.w", {4, 3, 3, 3}), b.ramp("stem.b", {4})});
  x = b.node("relu0", kRelu, {x});
  for (const std::string& block : {std::string("a"), std::string("b")}) {
    ValueId y = b.node(block + "1", kSame, {x, b.ramp(block + "1.w", {4, 4, 3, 3})});
    y = b.node(block + "r", kRelu, {y});
    y = b.node(block + "2", kSame, {y, b.ramp(block + "2.w", {4, 4, 3, 3})});
    x = b.node(block + "+", Binary{}, {y, x});
  }
  x = b.node("flat", Flatten{}, {b.node("pool", GlobalPool{}, {x})});
  return b.finish({b.node("fc", Linear{}, {x, b.ramp("fc.w", {10, 4}), b.ramp("fc.b", {10})})});
}

TEST(WidthGroups, ResidualStreamsAreOneAndInnerWidthsStandAlone) {
  const Graph graph = residual();
  const auto groups = width_groups(graph);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].kind, WidthKind::kStream);
  EXPECT_EQ(groups[0].width, 4);
  EXPECT_THAT(names(graph, groups[0].writers), ElementsAre("stem", "a2", "b2"));
  EXPECT_THAT(names(graph, groups[0].readers), ElementsAre("a1", "b1", "fc"));
  EXPECT_EQ(groups[1].kind, WidthKind::kInner);
  EXPECT_EQ(groups[1].name, "a1");
  EXPECT_THAT(names(graph, groups[1].readers), ElementsAre("a2"));
}

TEST(WidthGroups, DepthwiseLayersBelongToAnExpansion) {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 3, 8, 8});
  x = b.node("expand", Conv{}, {x, b.ramp("e", {6, 3, 1, 1})});
  x = b.node("depthwise", Conv{.pads = {1, 1, 1, 1}, .groups = 6}, {x, b.ramp("d", {12, 1, 3, 3})});
  x = b.node("project", Conv{}, {x, b.ramp("p", {5, 12, 1, 1})});
  const Graph graph = b.finish({x});
  const auto groups = width_groups(graph);
  ASSERT_EQ(groups.size(), 1U);  // what project writes is the network's output
  EXPECT_EQ(groups[0].kind, WidthKind::kExpansion);
  EXPECT_EQ(groups[0].width, 6);
  EXPECT_THAT(names(graph, groups[0].depthwise), ElementsAre("depthwise"));
  const Workload wider = resized_workload(graph, groups, std::vector<std::int64_t>{9});
  EXPECT_EQ(wider.layers[1].dims.G, 9);
  EXPECT_EQ(wider.layers[1].dims.M, 18);
  EXPECT_EQ(wider.params, 9 * 3 + 18 * 9 + 5 * 18);
}

TEST(WidthGroups, FlattenedPositionsAreSeveralElementsOfAChannel) {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 1, 4, 4});
  x = b.node("conv", kSame, {x, b.ramp("w", {2, 1, 3, 3})});
  x = b.node("flat", Flatten{}, {x});
  x = b.node("hidden", Linear{}, {x, b.ramp("h", {5, 32})});
  x = b.node("out", Linear{}, {x, b.ramp("o", {3, 5})});
  const Graph graph = b.finish({x});
  const auto groups = width_groups(graph);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].width, 2);
  ASSERT_EQ(groups[0].axes.size(), 2U);
  EXPECT_EQ(groups[0].axes[1].inner, 16);
  EXPECT_TRUE(groups[0].axes[1].summed);
  EXPECT_EQ(groups[1].kind, WidthKind::kHidden);
}

TEST(WidthGroups, WhatTiesChannelsInOtherWaysStays) {
  // Two channel dimensions joined by Concat, one under Softmax, one in a grouped convolution.
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 4});
  const ValueId p = b.node("p", Conv{}, {x, b.ramp("p.w", {4, 4, 1, 1})});
  const ValueId q = b.node("q", Conv{}, {x, b.ramp("q.w", {4, 4, 1, 1})});
  ValueId y = b.node("cat", Concat{}, {p, q});
  y = b.node("r", Conv{}, {y, b.ramp("r.w", {4, 8, 1, 1})});
  y = b.node("soft", Softmax{}, {y});
  y = b.node("s", Conv{}, {y, b.ramp("s.w", {4, 4, 1, 1})});
  y = b.node("grouped", Conv{.groups = 2}, {y, b.ramp("g.w", {4, 2, 1, 1})});
  y = b.node("t", Conv{}, {y, b.ramp("t.w", {4, 4, 1, 1})});
  EXPECT_THAT(width_groups(b.finish({y})), IsEmpty());
}

TEST(WidthGroups, ABroadcastChannelStaysOne) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 4});
  const ValueId y = b.node("y", Conv{}, {x, b.ramp("y.w", {4, 4, 1, 1})});
  const ValueId gate = b.node("gate", Conv{}, {x, b.ramp("g.w", {1, 4, 1, 1})});
  const ValueId z = b.node("mul", Binary{.kind = BinaryKind::kMul}, {y, gate});
  const auto groups =
      width_groups(b.finish({b.node("out", Conv{}, {z, b.ramp("o.w", {2, 4, 1, 1})})}));
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].name, "y");
}

// Copies hold the same incoming weights, and what reads them adds up to what it was; by hand:
// outputs of `in` are 1 and 2 times the input, `out` reads them with weights 3 and 4.
TEST(Widen, CopiesChannelsAndSharesOutTheirReaders) {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 1});
  x = b.node("in", Linear{},
             {x, b.constant("in.w", {2, 1}, {1, 2}), b.constant("in.b", {2}, {5, 6})});
  x = b.node("out", Linear{}, {x, b.constant("out.w", {1, 2}, {3, 4})});
  const Graph graph = b.finish({x});
  const auto groups = width_groups(graph);
  ASSERT_EQ(groups.size(), 1U);
  const Graph wide = widen(graph, groups[0], 5, Rng(1));
  const auto in = find_value(wide, "in.w")->constant->values<float>();
  const auto bias = find_value(wide, "in.b")->constant->values<float>();
  const auto out = find_value(wide, "out.w")->constant->values<float>();
  ASSERT_EQ(in.size(), 5U);
  float of_first = 0;
  float of_second = 0;
  int copies_of_first = 0;
  for (std::size_t c = 0; c < 5; ++c) {
    const bool first = in[c] == 1;
    EXPECT_EQ(in[c], first ? 1 : 2);
    EXPECT_EQ(bias[c], first ? 5 : 6);
    (first ? of_first : of_second) += out[c];
    copies_of_first += first ? 1 : 0;
  }
  EXPECT_NEAR(of_first, 3, 1e-6);
  EXPECT_NEAR(of_second, 4, 1e-6);
  EXPECT_TRUE(copies_of_first == 2 || copies_of_first == 3);  // as evenly as 5 allows
  // The original channels come first.
  EXPECT_THAT(std::vector<float>(in.begin(), in.begin() + 2), ElementsAre(1, 2));
  // Two copies of one channel are read with different weights.
  EXPECT_NE(out[0], in[2] == 1 ? out[2] : in[3] == 1 ? out[3] : out[4]);
}

TEST(Widen, KeepsInterfaceNamesAndOtherGroups) {
  const Graph graph = residual();
  const auto groups = width_groups(graph);
  const std::vector<std::int64_t> widths = {7, 6, 4};
  const Graph wide = widen(graph, groups, widths, Rng(3));
  EXPECT_EQ(wide.inputs, graph.inputs);
  EXPECT_EQ(wide.outputs, graph.outputs);
  EXPECT_EQ(wide.value(wide.outputs[0]).shape, graph.value(graph.outputs[0]).shape);
  EXPECT_EQ(workload(wide), resized_workload(graph, groups, widths));
  const auto after = width_groups(wide);
  ASSERT_EQ(after.size(), groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    EXPECT_EQ(after[i].name, groups[i].name);
    EXPECT_EQ(after[i].width, widths[i]);
    EXPECT_EQ(after[i].writers, groups[i].writers);
  }
  EXPECT_EQ(widen(graph, groups, widths, Rng(3)), wide);  // the same seed, the same bits
}

}  // namespace
}  // namespace tessera::ir
