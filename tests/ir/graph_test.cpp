// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/graph.h"

#include <gmock/gmock.h>

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Graph, ProducersAndConsumers) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {x});
  const ValueId s = b.node("double", Binary{BinaryKind::kAdd}, {r, r});
  const Graph g = b.finish({s});
  const Wiring wiring(g);
  EXPECT_EQ(g.producer(x), std::nullopt);
  EXPECT_EQ(g.producer(s), NodeId{1});
  EXPECT_THAT(g.consumers(r), ElementsAre(NodeId{1}, NodeId{1}));
  EXPECT_EQ(wiring.producer(x), std::nullopt);
  EXPECT_EQ(wiring.producer(r), NodeId{0});
  EXPECT_THAT(wiring.consumers(x), ElementsAre(NodeId{0}));
  EXPECT_THAT(wiring.consumers(r), ElementsAre(NodeId{1}, NodeId{1}));
  EXPECT_THAT(wiring.consumers(s), IsEmpty());
}

TEST(Graph, IsAValue) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  const Graph g = b.finish({b.node("relu", Unary{UnaryKind::kRelu}, {x})});
  Graph copy = g;
  EXPECT_EQ(copy, g);
  copy.node(NodeId{0}).name = "other";
  EXPECT_NE(copy, g);
}

TEST(Ops, NamesAreOnnxWords) {
  EXPECT_EQ(name(Op(Linear{})), "Gemm");
  EXPECT_EQ(name(Op(Pool{.kind = PoolKind::kAverage})), "AveragePool");
  EXPECT_EQ(name(Op(GlobalPool{.kind = PoolKind::kMax})), "GlobalMaxPool");
  EXPECT_EQ(name(Op(Unknown{.type = "LSTM"})), "LSTM");
  EXPECT_TRUE(is_layer(Conv{}));
  EXPECT_TRUE(is_layer(Linear{}));
  EXPECT_FALSE(is_layer(BatchNorm{}));
}

}  // namespace
}  // namespace tessera::ir
