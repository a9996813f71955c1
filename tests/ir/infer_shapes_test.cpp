// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Shape shape_of(const GraphBuilder& b, ValueId id) {
  return b.graph.value(id).shape.value_or(Shape{-1});
}

Shape one(Op op, Shape in) {
  GraphBuilder b;
  return shape_of(b, b.node("n", std::move(op), {b.input("x", std::move(in))}));
}

TEST(InferShapes, Conv) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 32, 30});
  const ValueId w = b.ramp("w", {8, 2, 3, 5});
  const ValueId y = b.node(
      "c", Conv{.strides = {2, 1}, .pads = {1, 2, 1, 0}, .dilations = {1, 2}, .groups = 2}, {x, w});
  EXPECT_EQ(shape_of(b, y), (Shape{1, 8, 16, 24}));
}

TEST(InferShapes, ConvThatDoesNotFit) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8});
  EXPECT_THAT(
      [&] {
        b.node("c", Conv{}, {x, b.ramp("w", {8, 4, 3, 3})});
      },
      ThrowsMessage<ImportError>(
          HasSubstr("node 'c' (Conv): input 1x3x8x8 does not fit weights 8x4x3x3 in 1 groups")));
  EXPECT_THAT(
      [&] {
        b.node("d", Conv{}, {x, b.ramp("v", {8, 3, 9, 3})});
      },
      ThrowsMessage<ImportError>(HasSubstr("kernel of 9")));
  EXPECT_THAT(
      [&] {
        b.node("e", Conv{.strides = {0, 1}}, {x, b.ramp("u", {8, 3, 3, 3})});
      },
      ThrowsMessage<ImportError>(HasSubstr("stride is 0, allowed: 1 to 1048576")));
  EXPECT_THAT(
      [&] {
        b.node("f", Conv{}, {x, b.ramp("t", {8, 3, 3, 3}), b.ramp("bias", {7})});
      },
      ThrowsMessage<ImportError>(HasSubstr("bias has shape 7, allowed: 8")));
}

TEST(InferShapes, LinearOverTheLastAxis) {
  GraphBuilder b;
  const ValueId w = b.ramp("w", {5, 4});
  EXPECT_EQ(shape_of(b, b.node("a", Linear{}, {b.input("x", {1, 4}), w})), (Shape{1, 5}));
  EXPECT_EQ(shape_of(b, b.node("b", Linear{}, {b.input("y", {1, 7, 4}), w})), (Shape{1, 7, 5}));
  EXPECT_THROW(b.node("c", Linear{}, {b.input("z", {1, 5}), w}), ImportError);
}

TEST(InferShapes, Pools) {
  EXPECT_EQ(one(Pool{.kernel = {3, 3}, .strides = {2, 2}}, {1, 2, 8, 8}), (Shape{1, 2, 3, 3}));
  EXPECT_EQ(one(Pool{.kernel = {3, 3}, .strides = {2, 2}, .ceil_mode = true}, {1, 2, 8, 8}),
            (Shape{1, 2, 4, 4}));
  // The last window would start in the padding at the end, and is left out as PyTorch does.
  EXPECT_EQ(one(Pool{.kernel = {2, 2}, .strides = {2, 2}, .pads = {1, 1, 1, 1}, .ceil_mode = true},
                {1, 2, 3, 3}),
            (Shape{1, 2, 2, 2}));
  EXPECT_EQ(one(GlobalPool{}, {1, 2, 8, 8}), (Shape{1, 2, 1, 1}));
  EXPECT_THROW(one(Pool{.kernel = {2, 2}, .pads = {2, 0, 0, 0}}, {1, 2, 8, 8}), ImportError);
}

TEST(InferShapes, ReshapeFlattenPadSoftmax) {
  EXPECT_EQ(one(Flatten{}, {1, 2, 3, 4}), (Shape{1, 24}));
  EXPECT_EQ(one(Reshape{{4, 6}}, {1, 2, 3, 4}), (Shape{1, 4, 6}));
  EXPECT_THROW(one(Reshape{{4, 7}}, {1, 2, 3, 4}), ImportError);
  EXPECT_THROW(one(Reshape{{-4, -6}}, {1, 2, 3, 4}), ImportError);
  EXPECT_EQ(one(Pad{{1, 2, 3, 4}}, {1, 2, 8, 8}), (Shape{1, 2, 12, 14}));
  EXPECT_EQ(one(Pad{{-1, 0, 0, 0}}, {1, 2, 8, 8}), (Shape{1, 2, 7, 8}));
  EXPECT_THROW(one(Pad{{-8, 0, 0, 0}}, {1, 2, 8, 8}), ImportError);
  EXPECT_EQ(one(Softmax{1}, {1, 10}), (Shape{1, 10}));
  EXPECT_THROW(one(Softmax{0}, {1, 10}), ImportError);
}

TEST(InferShapes, BinaryBroadcastsButNeverTheBatch) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 1, 6});
  const ValueId y = b.input("y", {1, 4, 5, 1});
  const auto add = [&](const char* name, ValueId a, ValueId c) {
    return shape_of(b, b.node(name, Binary{}, {a, c}));
  };
  EXPECT_EQ(add("a", x, y), (Shape{1, 4, 5, 6}));
  EXPECT_EQ(add("b", x, b.ramp("c1", {4, 1, 1})), (Shape{1, 4, 1, 6}));
  EXPECT_EQ(add("c", b.ramp("c2", {}), x), (Shape{1, 4, 1, 6}));
  EXPECT_THAT(
      [&] {
        add("d", x, b.ramp("c3", {2, 4, 1, 6}));
      },
      ThrowsMessage<ImportError>(HasSubstr("moves the batch")));
  EXPECT_THROW(add("e", x, b.ramp("c4", {1, 1, 4, 1, 6})), ImportError);
  EXPECT_THROW(add("f", x, b.input("z", {1, 6})), ImportError);
  EXPECT_THROW(add("g", x, b.ramp("c5", {5})), ImportError);
}

TEST(InferShapes, Concat) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 5, 5});
  const ValueId y = b.input("y", {1, 3, 5, 5});
  EXPECT_EQ(shape_of(b, b.node("a", Concat{1}, {x, y, x})), (Shape{1, 11, 5, 5}));
  EXPECT_THROW(b.node("b", Concat{2}, {x, y}), ImportError);
  EXPECT_THROW(b.node("c", Concat{0}, {x, x}), ImportError);
  EXPECT_THROW(b.node("d", Concat{1}, {x, b.ramp("k", {1, 3, 5, 5})}), ImportError);
}

TEST(InferShapes, BehindAnUnknownNodeNothingIsKnown) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  const ValueId u = b.node("u", Unknown{.type = "LSTM", .why = "operator not supported"}, {x});
  const ValueId r = b.node("r", Unary{UnaryKind::kRelu}, {u});
  EXPECT_EQ(b.graph.value(u).shape, std::nullopt);
  EXPECT_EQ(b.graph.value(r).shape, std::nullopt);
  EXPECT_TRUE(verify(b.finish({r})).empty());
}

TEST(InferShapes, TypesAndArity) {
  GraphBuilder b;
  const ValueId ids = b.graph.add_value({.name = "ids", .dtype = DType::kInt64, .shape = {{1, 4}}});
  b.graph.inputs.push_back(ids);
  EXPECT_THAT([&] { b.node("r", Unary{UnaryKind::kRelu}, {ids}); },
              ThrowsMessage<ImportError>(HasSubstr("input 'ids' holds int64, allowed: float32")));
  const ValueId same = b.node("i", Unary{UnaryKind::kIdentity}, {ids});
  EXPECT_EQ(b.graph.value(same).dtype, DType::kInt64);
  EXPECT_THAT([&] { b.node("a", Binary{}, {ids}); },
              ThrowsMessage<ImportError>(HasSubstr("1 inputs, allowed: 2 to 2")));
}

}  // namespace
}  // namespace tessera::ir
