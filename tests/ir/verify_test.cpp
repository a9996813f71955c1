// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/verify.h"

#include <gmock/gmock.h>

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// x -> conv -> relu -> output
Graph sound() {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8});
  const ValueId c = b.node("conv", Conv{}, {x, b.ramp("w", {4, 3, 3, 3})});
  return b.finish({b.node("relu", Unary{UnaryKind::kRelu}, {c})});
}

ValueId id_of(const Graph& graph, std::string_view name) {
  for (std::uint32_t i = 0; i < graph.values().size(); ++i) {
    if (graph.values()[i].name == name)
      return {i};
  }
  return {};
}

std::string rules(const Graph& graph) {
  std::string text;
  for (const Violation& violation : verify(graph))
    text += violation.rule + " ";
  return text;
}

TEST(Verify, SoundGraphBreaksNothing) {
  EXPECT_EQ(rules(sound()), "");
  EXPECT_NO_THROW(check_verified(sound(), "test"));
}

TEST(Verify, V1_IdsExist) {
  Graph g = sound();
  g.node({0}).inputs[0] = ValueId{99};
  EXPECT_EQ(rules(g), "V1 ");
  g = sound();
  g.outputs = {ValueId{}};
  EXPECT_EQ(rules(g), "V1 ");
}

TEST(Verify, V2_AValueComesFromOnePlace) {
  Graph g = sound();
  g.add_node({"again", Unary{UnaryKind::kRelu}, {id_of(g, "x")}, {id_of(g, "relu:0")}});
  EXPECT_EQ(rules(g), "V2 ");
  g = sound();
  g.inputs.push_back(id_of(g, "w"));
  EXPECT_EQ(rules(g), "V2 ");
}

TEST(Verify, V3_ReadOnlyWhatIsMade) {
  Graph g = sound();
  g.node({0}).inputs[0] = id_of(g, "relu:0");
  EXPECT_EQ(rules(g), "V3 ");
  g = sound();
  g.outputs = {g.add_value({.name = "nowhere"})};
  EXPECT_EQ(rules(g), "V3 ");
}

TEST(Verify, V4_ArityFits) {
  Graph g = sound();
  g.node({1}).inputs.push_back(id_of(g, "x"));
  EXPECT_EQ(rules(g), "V4 ");
}

TEST(Verify, V5_NodeNamesAreUnique) {
  Graph g = sound();
  g.node({1}).name = "conv";
  EXPECT_EQ(rules(g), "V5 ");
  g.node({1}).name = "";
  EXPECT_EQ(rules(g), "V5 ");
}

TEST(Verify, V6_ValueNamesAreUnique) {
  Graph g = sound();
  g.value(id_of(g, "w")).name = "x";
  EXPECT_EQ(rules(g), "V6 ");
}

TEST(Verify, V7_ConstantsAreWhatTheirValuesSay) {
  Graph g = sound();
  g.value(id_of(g, "w")).shape = Shape{4, 27};
  EXPECT_EQ(rules(g), "V7 ");
}

TEST(Verify, V8_ParametersAreConstants) {
  Graph g = sound();
  g.value(id_of(g, "w")).constant.reset();
  g.inputs.push_back(id_of(g, "w"));
  EXPECT_EQ(rules(g), "V8 ");
}

TEST(Verify, V10_TheBatchStaysWhereItIs) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  Graph g = b.finish({b.node("mix",
                             Generic{.type = "Softmax",
                                     .opset = 13,
                                     .attributes = {{"axis", std::int64_t{0}}},
                                     .positions = {0}},
                             {x})});
  EXPECT_EQ(rules(g), "V10 ");
  g.batched = false;
  EXPECT_EQ(rules(g), "");
}

TEST(Verify, V9_ShapesAreTheInferredOnes) {
  Graph g = sound();
  g.value(id_of(g, "relu:0")).shape = Shape{1, 4, 8, 8};
  EXPECT_EQ(rules(g), "V9 ");
  g = sound();
  g.value(id_of(g, "conv:0")).dtype = DType::kInt8;
  EXPECT_EQ(rules(g), "V9 ");
  g = sound();
  g.value(id_of(g, "x")).shape = Shape{1, 5, 8, 8};
  EXPECT_EQ(rules(g), "V9 ");
}

TEST(Verify, CheckNamesPassAndRule) {
  Graph g = sound();
  g.node({1}).name = "";
  EXPECT_THAT([&] { check_verified(g, "fold_batch_norm"); },
              ThrowsMessage<InternalError>(HasSubstr("graph broken after fold_batch_norm: V5")));
}

}  // namespace
}  // namespace tessera::ir
