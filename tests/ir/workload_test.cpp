// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/workload.h"

#include <gmock/gmock.h>

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

TEST(Workload, LayersGlueAndEdges) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 8, 6});
  const ValueId c = b.node("conv", Conv{.strides = {2, 2}, .pads = {1, 1, 1, 1}, .groups = 2},
                           {x, b.ramp("w", {6, 2, 3, 3}), b.ramp("bias", {6})});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {c});
  const ValueId a = b.node("add", Binary{}, {r, r});
  const ValueId scaled = b.node("mul", Binary{BinaryKind::kMul}, {a, b.ramp("k", {6, 1, 1})});
  const ValueId p = b.node("pool", GlobalPool{}, {scaled});
  const ValueId f = b.node("flat", Flatten{}, {p});
  const ValueId y = b.node("fc", Linear{}, {f, b.ramp("v", {10, 6})});
  const Workload w = workload(b.finish({y}));

  ASSERT_THAT(w.layers, SizeIs(2));
  const Layer& conv = w.layers[0];
  EXPECT_EQ(conv.name, "conv");
  EXPECT_EQ(conv.op, "Conv");
  EXPECT_EQ(conv.dims,
            (LayerDims{.C = 4, .M = 6, .R = 3, .S = 3, .P = 4, .Q = 3, .G = 2, .H = 8, .W = 6}));
  EXPECT_EQ(conv.weights, 6 * 2 * 3 * 3);
  EXPECT_EQ(conv.macs, 6 * 2 * 3 * 3 * 4 * 3);
  EXPECT_EQ(conv.bias, 6);
  EXPECT_EQ(conv.input_elements, 4 * 8 * 6);
  EXPECT_EQ(conv.output_elements, 6 * 4 * 3);
  EXPECT_EQ(conv.positions(), 12);
  EXPECT_EQ(w.layers[1].dims, (LayerDims{.C = 6, .M = 10}));
  EXPECT_EQ(w.layers[1].macs, 60);
  EXPECT_EQ(w.macs, conv.macs + 60);
  EXPECT_EQ(w.params, conv.weights + 6 + 60 + 6);

  ASSERT_THAT(w.glue, SizeIs(5));
  EXPECT_EQ(w.glue[0].operations, 72);       // relu
  EXPECT_EQ(w.glue[1].input_elements, 144);  // add reads twice
  EXPECT_EQ(w.glue[2].input_elements, 72);   // the constant is not an activation
  EXPECT_EQ(w.glue[3].operations, 72);       // pool
  EXPECT_EQ(w.glue[4].operations, 0);        // flatten
  EXPECT_EQ(w.glue[4].op, "Flatten");

  EXPECT_THAT(w.order, ElementsAre(Step{true, 0}, Step{false, 0}, Step{false, 1}, Step{false, 2},
                                   Step{false, 3}, Step{false, 4}, Step{true, 1}));
  EXPECT_THAT(w.edges, ElementsAre(Edge{-1, 0, 192}, Edge{0, 1, 72}, Edge{1, 2, 72}, Edge{1, 2, 72},
                                   Edge{2, 3, 72}, Edge{3, 4, 72}, Edge{4, 5, 6}, Edge{5, 6, 6},
                                   Edge{6, -1, 10}));
}

TEST(Workload, LinearOverRows) {
  GraphBuilder b;
  const ValueId y = b.node("fc", Linear{}, {b.input("x", {1, 7, 4}), b.ramp("w", {5, 4})});
  const Workload w = workload(b.finish({y}));
  EXPECT_EQ(w.layers[0].dims, (LayerDims{.C = 4, .M = 5, .P = 7, .H = 7}));
  EXPECT_EQ(w.macs, 140);
}

TEST(Workload, NamesWhatIsNotUnderstood) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  const ValueId r = b.node("relu", Unary{UnaryKind::kRelu}, {x});
  const ValueId u = b.node("/rnn", Unknown{.type = "LSTM", .why = "operator not supported"}, {r});
  const ValueId v = b.node("/own", Unknown{"acme", "Fancy", "operator not supported"}, {u});
  const Graph g = b.finish({b.node("tail", Unary{UnaryKind::kRelu}, {v})});
  EXPECT_THAT([&] { workload(g); },
              ThrowsMessage<UnsupportedError>(
                  HasSubstr("2 operators are not understood:\n  LSTM at '/rnn': operator not")));
  EXPECT_THAT(unknown_operators(g), ElementsAre("LSTM at '/rnn': operator not supported",
                                                "acme.Fancy at '/own': operator not supported"));
  EXPECT_THAT(unsized_nodes(g), ElementsAre("tail"));
  EXPECT_THAT(understood_workload(g).glue, SizeIs(1));
}

TEST(Workload, NeedsFixedSizes) {
  GraphBuilder b;
  const ValueId x = b.graph.add_value({.name = "x"});
  b.graph.inputs.push_back(x);
  const Graph g = b.finish({b.node("relu", Unary{UnaryKind::kRelu}, {x})});
  EXPECT_THAT([&] { workload(g); },
              ThrowsMessage<UnsupportedError>(HasSubstr("input 'x' has a size that is not fixed")));
  EXPECT_THAT(unsized_nodes(g), ElementsAre("relu"));
  EXPECT_THAT(understood_workload(g).order, IsEmpty());
}

}  // namespace
}  // namespace tessera::ir
