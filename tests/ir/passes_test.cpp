// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/passes.h"

#include <cmath>

#include <gmock/gmock.h>

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

std::span<const float> floats(const Graph& graph, ValueId id) {
  return graph.value(id).constant.value().values<float>();
}

struct NormFixture {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 1, 4, 4});
  ValueId w = b.constant("w", {2, 1, 1, 1}, {3, 5});
  ValueId gamma = b.constant("gamma", {2}, {2, 1});
  ValueId beta = b.constant("beta", {2}, {0.5F, 0});
  ValueId mean = b.constant("mean", {2}, {1, -1});
  ValueId var = b.constant("var", {2}, {0.25F, 4});

  ValueId norm(const std::string& name, ValueId input) {
    return b.node(name, BatchNorm{.epsilon = 0}, {input, gamma, beta, mean, var});
  }
};

TEST(FoldBatchNorm, IntoAConvWithoutBias) {
  NormFixture f;
  const ValueId y = f.norm("bn", f.b.node("conv", Conv{}, {f.x, f.w}));
  const Graph g = fold_batch_norm(f.b.finish({y}));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(1));
  const Node& conv = g.nodes()[0];
  EXPECT_EQ(conv.name, "conv");
  EXPECT_EQ(g.value(conv.outputs[0]).name, "bn:0");
  EXPECT_EQ(g.value(conv.inputs[1]).name, "w");
  EXPECT_EQ(g.value(conv.inputs[2]).name, "w_bias");
  // k = gamma / sqrt(var) = 4, 0.5; b' = (0 - mean) k + beta
  EXPECT_THAT(floats(g, conv.inputs[1]), ElementsAre(12, 2.5F));
  EXPECT_THAT(floats(g, conv.inputs[2]), ElementsAre(-3.5F, 0.5F));
}

TEST(FoldBatchNorm, IntoALinearWithBias) {
  NormFixture f;
  const ValueId x = f.b.input("v", {1, 1});
  const ValueId w = f.b.constant("lw", {2, 1}, {3, 5});
  const ValueId bias = f.b.constant("lb", {2}, {1, 2});
  const ValueId y = f.norm("bn", f.b.node("fc", Linear{}, {x, w, bias}));
  const Graph g = fold_batch_norm(f.b.finish({y}));
  ASSERT_THAT(g.nodes(), SizeIs(1));
  EXPECT_THAT(floats(g, g.nodes()[0].inputs[1]), ElementsAre(12, 2.5F));
  EXPECT_THAT(floats(g, g.nodes()[0].inputs[2]), ElementsAre(0.5F, 1.5F));
}

TEST(FoldBatchNorm, ChainsAndSharedWeights) {
  NormFixture f;
  const ValueId a = f.norm("bn2", f.norm("bn1", f.b.node("conv1", Conv{}, {f.x, f.w})));
  const ValueId other = f.b.node("conv2", Conv{}, {f.x, f.w});
  const Graph g = fold_batch_norm(f.b.finish({a, other}));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(2));
  EXPECT_THAT(floats(g, find_node(g, "conv1")->inputs[1]), ElementsAre(48, 1.25F));
  EXPECT_THAT(floats(g, find_node(g, "conv2")->inputs[1]), ElementsAre(3, 5));
  EXPECT_EQ(g.value(find_node(g, "conv2")->inputs[1]).name, "w");
}

TEST(InsertBatchNorm, IsUndoneByFolding) {
  NormFixture f;
  const ValueId bias = f.b.constant("bias", {2}, {1, -2});
  const ValueId one = f.b.node("conv1", Conv{}, {f.x, f.w, bias});
  const ValueId two = f.b.node("conv2", Conv{}, {f.x, f.w});
  const Graph g = f.b.finish({one, two});
  // The second channel varies a thousandth as much as the first, which is less than is normalized.
  const std::vector<ChannelMoments> moments = {
      {.conv = {0}, .mean = {0.5, -1}, .variance = {4, 4e-6}},
      {.conv = {1}, .mean = {0, 0}, .variance = {0, 0}}};
  const Graph normalized = insert_batch_norm(g, moments);
  ASSERT_THAT(normalized.nodes(), SizeIs(4));
  const Node& norm = *find_node(normalized, "conv1.norm");
  EXPECT_EQ(norm.outputs, g.node({0}).outputs);
  EXPECT_THAT(floats(normalized, norm.inputs[4]), ElementsAre(1, 0.01F));  // var
  // Weights of channels that are normalized: divided by their deviation, here 2.
  EXPECT_FLOAT_EQ(floats(normalized, find_node(normalized, "conv1")->inputs[1])[0], 1.5F);

  const Graph folded = fold_batch_norm(normalized);
  ASSERT_THAT(folded.nodes(), SizeIs(2));
  for (const char* name : {"conv1", "conv2"}) {
    const Node& conv = *find_node(folded, name);
    EXPECT_THAT(floats(folded, conv.inputs[1]),
                ElementsAre(::testing::FloatNear(3, 1e-6F), ::testing::FloatNear(5, 1e-6F)));
  }
  EXPECT_THAT(floats(folded, find_node(folded, "conv1")->inputs[2]),
              ElementsAre(::testing::FloatNear(1, 1e-6F), ::testing::FloatNear(-2, 1e-6F)));
  EXPECT_EQ(folded.value(folded.outputs[0]).name, "conv1:0");
}

TEST(FoldBatchNorm, StaysWhereItCannot) {
  NormFixture f;
  const ValueId c = f.b.node("conv", Conv{}, {f.x, f.w});
  const ValueId n = f.norm("bn", c);
  EXPECT_THAT(fold_batch_norm(f.b.finish({n, c})).nodes(), SizeIs(2));  // the output reads it too

  NormFixture alone;
  const ValueId x = alone.b.input("y", {1, 2, 3, 3});
  EXPECT_THAT(fold_batch_norm(alone.b.finish({alone.norm("bn", x)})).nodes(), SizeIs(1));

  NormFixture rows;  // axis 1 are rows, not output channels
  const ValueId r = rows.b.input("r", {1, 2, 3});
  const ValueId fc = rows.b.node("fc", Linear{}, {r, rows.b.ramp("lw", {2, 3})});
  EXPECT_THAT(fold_batch_norm(rows.b.finish({rows.norm("bn", fc)})).nodes(), SizeIs(2));
}

TEST(FuseBias, AfterLinearAndConv) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 4});
  const ValueId fc = b.node("fc", Linear{}, {x, b.ramp("w", {2, 4})});
  const ValueId y = b.node("add", Binary{}, {b.constant("bias", {2}, {1, 2}), fc});
  const ValueId image = b.input("image", {1, 1, 2, 2});
  const ValueId conv = b.node("conv", Conv{}, {image, b.ramp("cw", {2, 1, 1, 1})});
  const ValueId z = b.node("cadd", Binary{}, {conv, b.constant("cbias", {1, 2, 1, 1}, {3, 4})});
  const Graph g = fuse_bias(b.finish({y, z}));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(2));
  EXPECT_THAT(floats(g, find_node(g, "fc")->inputs.at(2)), ElementsAre(1, 2));
  EXPECT_THAT(floats(g, find_node(g, "conv")->inputs.at(2)), ElementsAre(3, 4));
  EXPECT_EQ(g.value(g.outputs[0]).name, "add:0");
  EXPECT_EQ(g.value(find_node(g, "conv")->inputs.at(2)).name, "cbias");
}

TEST(FuseBias, LeavesOtherAdds) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 1, 2, 2});
  const ValueId conv = b.node("conv", Conv{}, {x, b.ramp("w", {2, 1, 1, 1})});
  // One value per column, not per channel.
  const ValueId y = b.node("add", Binary{}, {conv, b.constant("k", {2}, {1, 2})});
  EXPECT_THAT(fuse_bias(b.finish({y})).nodes(), SizeIs(2));
}

// Behind an operator that is not understood nothing has a size, and no channel counts were
// compared.
TEST(Passes, LeaveLayersWithoutSizesAlone) {
  NormFixture f;
  const ValueId unsized = f.b.graph.add_value({.name = "unsized"});
  f.b.graph.inputs.push_back(unsized);
  const ValueId conv = f.b.node("conv", Conv{}, {unsized, f.w});
  const ValueId y = f.b.node("add", Binary{}, {conv, f.b.constant("k", {2, 1, 1}, {1, 2})});
  const ValueId z = f.norm("bn", f.b.node("conv2", Conv{}, {unsized, f.w}));
  const Graph g = f.b.finish({y, z});
  EXPECT_THAT(fuse_bias(g).nodes(), SizeIs(4));
  EXPECT_THAT(fold_batch_norm(g).nodes(), SizeIs(4));
}

TEST(FoldConstants, EvaluatesChains) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 2});
  const ValueId i = b.node("id", Unary{UnaryKind::kIdentity}, {b.constant("k", {1, 2}, {1, -2})});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {i});
  const Graph g = fold_constants(b.finish({b.node("add", Binary{}, {x, r})}));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(1));
  EXPECT_EQ(g.value(g.nodes()[0].inputs[1]).name, "relu:0");
  EXPECT_THAT(floats(g, g.nodes()[0].inputs[1]), ElementsAre(1, 0));
}

TEST(MergeReshapes, LastOneCounts) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 2, 1, 1});
  const ValueId first = b.node("first", Reshape{{2, 1}}, {x});
  const ValueId second = b.node("second", Reshape{{1, 2}}, {first});
  const Graph g = remove_dead(merge_reshapes(b.finish({b.node("last", Flatten{}, {second})})));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(1));
  EXPECT_EQ(g.nodes()[0].name, "last");
  EXPECT_EQ(g.value(g.nodes()[0].inputs[0]).name, "x");
}

TEST(RemoveDead, IdentityChainsDeadNodesAndValues) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 2});
  b.input("unused", {1, 7});
  const ValueId i = b.node("i1", Unary{}, {b.node("i0", Unary{}, {x})});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {i});
  const ValueId out = b.node("i3", Unary{}, {b.node("i2", Unary{}, {r})});
  b.node("dead", Binary{}, {r, b.ramp("k", {2})});
  const Graph g = remove_dead(b.finish({out}));
  check_verified(g, "test");
  ASSERT_THAT(g.nodes(), SizeIs(1));
  EXPECT_EQ(g.nodes()[0].name, "relu");
  EXPECT_EQ(g.value(g.nodes()[0].inputs[0]).name, "x");
  EXPECT_EQ(g.value(g.outputs[0]).name, "i3:0");  // the output keeps its name
  EXPECT_THAT(g.inputs, SizeIs(2));
  EXPECT_EQ(find_value(g, "k"), nullptr);
}

TEST(RemoveDead, KeepsAnIdentityFromInputToOutput) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 2});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {x});
  const ValueId same = b.node("same", Unary{}, {r});
  const Graph g = remove_dead(b.finish({b.node("pass", Unary{}, {x}), r, same}));
  check_verified(g, "test");
  EXPECT_NE(find_node(g, "pass"), nullptr);
  EXPECT_NE(find_node(g, "same"), nullptr);  // both r and same are outputs
}

TEST(Canonicalize, IsIdempotentAndRefusesBrokenGraphs) {
  NormFixture f;
  const ValueId y = f.norm("bn", f.b.node("conv", Conv{}, {f.x, f.w}));
  Graph g = f.b.finish({y});
  const Graph once = canonicalize(g);
  EXPECT_EQ(canonicalize(once), once);
  g.node({0}).name = "";
  EXPECT_THROW(canonicalize(g), InternalError);
}

}  // namespace
}  // namespace tessera::ir
