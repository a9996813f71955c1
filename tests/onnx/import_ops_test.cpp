// SPDX-License-Identifier: Apache-2.0
// One fixture for each ONNX operator that is read, and for each form of it.
#include <limits>
#include <set>

#include <gmock/gmock.h>

#include "tessera/ir/workload.h"
#include "tessera/onnx/import.h"

#include "onnx/fixture.h"

namespace tessera::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Understood {
  std::string file;
  ir::Op op;
  ir::Shape output;
};

ir::Unary unary(ir::UnaryKind kind, float alpha = 0, float beta = 0) {
  return {kind, alpha, beta};
}

const Understood kUnderstood[] = {
    {"conv",
     ir::Conv{.strides = {2, 1}, .pads = {1, 0, 2, 1}, .dilations = {1, 1}, .groups = 2},
     {1, 2, 3, 3}},
    {"conv_same_upper", ir::Conv{.pads = {0, 0, 1, 1}}, {1, 1, 4, 4}},
    {"conv_same_lower", ir::Conv{.pads = {1, 1, 0, 0}}, {1, 1, 4, 4}},
    {"conv_valid", ir::Conv{}, {1, 1, 3, 3}},
    {"gemm", ir::Linear{}, {1, 3}},
    {"gemm_scaled", ir::Linear{}, {1, 3}},
    {"matmul", ir::Linear{}, {1, 5, 3}},
    {"batch_normalization", ir::BatchNorm{0.25}, {1, 2, 4, 4}},
    {"relu", unary(ir::UnaryKind::kRelu), {1, 2, 4, 4}},
    {"sigmoid", unary(ir::UnaryKind::kSigmoid), {1, 2, 4, 4}},
    {"tanh", unary(ir::UnaryKind::kTanh), {1, 2, 4, 4}},
    {"identity", unary(ir::UnaryKind::kIdentity), {1, 2, 4, 4}},
    {"hard_swish", unary(ir::UnaryKind::kHardSwish), {1, 2, 4, 4}},
    {"leaky_relu", unary(ir::UnaryKind::kLeakyRelu, 0.125F), {1, 2, 4, 4}},
    {"hard_sigmoid", unary(ir::UnaryKind::kHardSigmoid, 0.25F, 0.5F), {1, 2, 4, 4}},
    {"clip_attributes", unary(ir::UnaryKind::kClip, 0, 6), {1, 2, 4, 4}},
    {"clip_inputs", unary(ir::UnaryKind::kClip, 0, 6), {1, 2, 4, 4}},
    {"clip_above",
     unary(ir::UnaryKind::kClip, std::numeric_limits<float>::lowest(), 6),
     {1, 2, 4, 4}},
    {"dropout", unary(ir::UnaryKind::kIdentity), {1, 2, 4, 4}},
    {"cast", unary(ir::UnaryKind::kIdentity), {1, 2, 4, 4}},
    {"add", ir::Binary{ir::BinaryKind::kAdd}, {1, 2, 4, 4}},
    {"sub", ir::Binary{ir::BinaryKind::kSub}, {1, 2, 4, 4}},
    {"mul", ir::Binary{ir::BinaryKind::kMul}, {1, 2, 4, 4}},
    {"div", ir::Binary{ir::BinaryKind::kDiv}, {1, 2, 4, 4}},
    {"max_pool",
     ir::Pool{.kind = ir::PoolKind::kMax,
              .kernel = {3, 2},
              .strides = {2, 2},
              .pads = {1, 0, 1, 0},
              .ceil_mode = true},
     {1, 2, 3, 2}},
    {"average_pool",
     ir::Pool{.kind = ir::PoolKind::kAverage,
              .kernel = {2, 2},
              .strides = {2, 2},
              .pads = {1, 1, 1, 1},
              .count_include_pad = true},
     {1, 2, 3, 3}},
    {"average_pool_whole", ir::GlobalPool{}, {1, 2, 1, 1}},
    {"global_average_pool", ir::GlobalPool{}, {1, 2, 1, 1}},
    {"global_max_pool", ir::GlobalPool{ir::PoolKind::kMax}, {1, 2, 1, 1}},
    {"reduce_mean_attribute", ir::GlobalPool{}, {1, 2, 1, 1}},
    {"reduce_max", ir::GlobalPool{ir::PoolKind::kMax}, {1, 2, 1, 1}},
    {"flatten", ir::Flatten{}, {1, 32}},
    {"reshape", ir::Reshape{{16, 2}}, {1, 16, 2}},
    {"reshape_flat", ir::Flatten{}, {1, 32}},
    {"reshape_batch", ir::Reshape{{2, 16}}, {1, 2, 16}},
    {"reshape_chain", ir::Flatten{}, {1, 32}},
    {"reshape_slice", ir::Reshape{{2, 4, 2, 2}}, {1, 2, 4, 2, 2}},
    {"squeeze", ir::Flatten{}, {1, 6}},
    {"unsqueeze", ir::Reshape{{6, 1, 1}}, {1, 6, 1, 1}},
    {"transpose", ir::Reshape{{1, 1, 6}}, {1, 1, 1, 6}},
    {"concat", ir::Concat{1}, {1, 4, 4, 4}},
    {"pad_attributes", ir::Pad{{1, 2, 3, 4}, 0.5F}, {1, 2, 8, 10}},
    {"pad_inputs", ir::Pad{{0, 1, 0, 2}, 0.5F}, {1, 2, 4, 7}},
    {"softmax", ir::Softmax{1}, {1, 5}},
    {"softmax_old", ir::Softmax{1}, {1, 5}},
};

class ImportOps : public ::testing::TestWithParam<Understood> {};

TEST_P(ImportOps, AreUnderstood) {
  const ir::Graph graph = import_onnx(fixture("ops/" + GetParam().file));
  EXPECT_THAT(ir::unknown_operators(graph), IsEmpty());
  ASSERT_THAT(graph.nodes(), SizeIs(1));
  EXPECT_EQ(graph.nodes()[0].name, "node");
  EXPECT_TRUE(graph.nodes()[0].op == GetParam().op);
  EXPECT_EQ(graph.value(graph.outputs.at(0)).shape, GetParam().output);
  EXPECT_EQ(graph.value(graph.outputs.at(0)).name, "y");
}

INSTANTIATE_TEST_SUITE_P(All, ImportOps, ::testing::ValuesIn(kUnderstood),
                         [](const auto& test) { return test.param.file; });

std::span<const float> constant(const ir::Graph& graph, std::size_t input) {
  return graph.value(graph.nodes()[0].inputs.at(input)).constant.value().values<float>();
}

TEST(ImportOps, GemmByColumnsIsTurnedAndScaled) {
  const ir::Graph graph = import_onnx(fixture("ops/gemm_scaled"));
  EXPECT_THAT(constant(graph, 1), ElementsAre(2, 8, 4, 10, 6, 12));
  EXPECT_THAT(constant(graph, 2), ElementsAre(1.5F, 1.5F, 1.5F));
}

TEST(ImportOps, MatMulIsTurned) {
  EXPECT_THAT(constant(import_onnx(fixture("ops/matmul")), 1), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(ImportOps, ReduceMeanWithoutKeptAxesIsPoolAndFlatten) {
  const ir::Graph graph = import_onnx(fixture("ops/reduce_mean_input"));
  ASSERT_THAT(graph.nodes(), SizeIs(2));
  EXPECT_TRUE(graph.nodes()[0].op == ir::Op(ir::GlobalPool{}));
  EXPECT_EQ(graph.nodes()[1].name, "node/Flatten");
  EXPECT_EQ(graph.value(graph.outputs[0]).shape, (ir::Shape{1, 2}));
}

struct NotUnderstoodForm {
  std::string file;
  std::string why;
};

const NotUnderstoodForm kUnknown[] = {
    {"operator", "Mish at 'node': operator not supported"},
    {"domain", "acme.Fancy at 'node': operators of domain acme are not supported"},
    {"attribute", "Relu at 'node': attribute strength not supported"},
    {"conv_activation_weights", "weight 'x' is not a constant"},
    {"conv_1d", "weight of shape 2x2x3, supported: MxCxRxS"},
    {"gemm_trans_a", "transA=1 not supported"},
    {"gemm_c_per_row", "C of shape 5x3, supported: one value for each of the 3 outputs"},
    {"matmul_activations", "its right factor 'x' is not a constant"},
    {"batch_normalization_training", "training_mode=1 not supported"},
    {"dropout_mask", "its output 'mask' is read"},
    {"clip_bound", "min 'x' is not a constant"},
    {"max_pool_dilated", "dilations not supported"},
    {"reduce_mean_channels", "axes 1, supported: 2 and 3"},
    {"flatten_axis", "axis=2 not supported"},
    {"reshape_batch", "reshaping 1x2x4x4 to 2x16 moves the batch"},
    {"reshape_computed", "shape 's' is not a constant"},
    {"squeeze_all", "no axes given"},
    {"transpose", "perm=0x2x3x1 not supported"},
    {"concat_batch", "joins along the batch"},
    {"pad_reflect", "mode=reflect not supported"},
    {"pad_channels", "pads batch or channels"},
    {"softmax_old", "axis=1 over several dimensions not supported"},
    {"add_integers", "input 'x' holds int64, supported: floats"},
    {"add_batch", "a constant of shape 4x2x4x4 beside 1x2x4x4 reaches into the batch"},
    {"cast_integers", "cast from float32 to INT64 not supported"},
};

class UnknownOps : public ::testing::TestWithParam<NotUnderstoodForm> {};

TEST_P(UnknownOps, AreNamedAndKept) {
  const ir::Graph graph = import_onnx(fixture("unknown/" + GetParam().file));
  EXPECT_THAT(ir::unknown_operators(graph), ElementsAre(HasSubstr(GetParam().why)));
  EXPECT_EQ(graph.nodes()[0].name, "node");
  EXPECT_THROW(ir::workload(graph), UnsupportedError);
}

INSTANTIATE_TEST_SUITE_P(All, UnknownOps, ::testing::ValuesIn(kUnknown),
                         [](const auto& test) { return test.param.file; });

TEST(UnknownOps, KeepWhatTheirSubgraphsRead) {
  const ir::Graph graph = import_onnx(fixture("unknown/captured"));
  ASSERT_THAT(graph.nodes(), SizeIs(2));
  EXPECT_EQ(graph.nodes()[1].inputs.size(), 2U);
  EXPECT_EQ(graph.value(graph.nodes()[1].inputs[1]).name, "inner");
}

TEST(UnknownOps, UnfixedSizesLeaveNodesWithoutShape) {
  const ir::Graph graph = import_onnx(fixture("unknown/dynamic_size"));
  EXPECT_THAT(ir::unknown_operators(graph),
              ElementsAre(HasSubstr("the shape of 'r' is not known")));
  EXPECT_THAT(ir::unsized_nodes(graph), ElementsAre("r"));
}

}  // namespace
}  // namespace tessera::onnx
