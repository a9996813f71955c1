// SPDX-License-Identifier: Apache-2.0
// One fixture for each ONNX operator that is read, and for each form of it.
#include <filesystem>
#include <limits>
#include <set>

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/onnx/export.h"
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
    {"operator", "Fancy at 'node': operator not supported"},
    {"domain", "acme.Fancy at 'node': operators of domain acme are not supported"},
    {"attribute", "Relu at 'node': attribute strength not supported"},
    {"reshape_computed", "shape 's' is not a constant"},
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

struct KeptForm {
  std::string file;
  std::string type;
  ir::Shape output;
  bool batched;
};

// Forms beyond the operators that have a struct of their own are kept as ONNX defines them. What
// moves or mixes the batch fixes the sizes of the whole graph.
const KeptForm kKept[] = {
    {"conv_activation_weights", "Conv", {1, 1, 1, 1}, false},
    {"gemm_trans_a", "Gemm", {4, 3}, false},
    {"gemm_c_per_row", "Gemm", {5, 3}, false},
    {"matmul_activations", "MatMul", {1, 2, 4, 4}, true},
    {"batch_normalization_training", "BatchNormalization", {1, 2, 4, 4}, false},
    {"dropout_mask", "Dropout", {1, 2, 4, 4}, true},
    {"clip_bound", "Clip", {1, 2, 4, 4}, false},
    {"max_pool_dilated", "MaxPool", {1, 2, 2, 2}, true},
    {"reduce_mean_channels", "ReduceMean", {1, 1, 4, 4}, true},
    {"flatten_axis", "Flatten", {2, 16}, false},
    {"reshape_batch", "Reshape", {2, 16}, false},
    {"squeeze_all", "Squeeze", {2, 4, 4}, false},
    {"transpose", "Transpose", {1, 4, 4, 2}, true},
    {"concat_batch", "Concat", {2, 2, 4, 4}, false},
    {"pad_reflect", "Pad", {1, 2, 6, 6}, true},
    {"pad_channels", "Pad", {1, 3, 4, 4}, true},
    {"softmax_old", "Softmax", {1, 2, 4, 4}, true},
    {"add_integers", "Add", {1, 4}, true},
    {"add_batch", "Add", {4, 2, 4, 4}, false},
    {"cast_integers", "Cast", {1, 2, 4, 4}, true},
};

class KeptOps : public ::testing::TestWithParam<KeptForm> {};

TEST_P(KeptOps, StandAsOnnxDefinesThem) {
  const ir::Graph graph = import_onnx(fixture("kept/" + GetParam().file));
  EXPECT_THAT(ir::unknown_operators(graph), IsEmpty());
  const ir::Node& node = graph.nodes()[0];
  ASSERT_TRUE(std::holds_alternative<ir::Generic>(node.op)) << ir::name(node.op);
  EXPECT_EQ(ir::name(node.op), GetParam().type);
  EXPECT_EQ(graph.value(node.outputs[0]).shape, GetParam().output);
  EXPECT_EQ(graph.batched, GetParam().batched);
  EXPECT_NO_THROW(ir::workload(graph));
}

INSTANTIATE_TEST_SUITE_P(All, KeptOps, ::testing::ValuesIn(kKept),
                         [](const auto& test) { return test.param.file; });

TEST(KeptOps, SurviveExportAndImport) {
  const std::filesystem::path copy = std::filesystem::path(::testing::TempDir()) / "kept.onnx";
  for (const KeptForm& form : kKept) {
    if (form.file == "softmax_old")
      continue;
    const ir::Graph graph = import_onnx(fixture("kept/" + form.file));
    export_onnx(graph, {}, copy);
    EXPECT_EQ(ir::canonical_hash(import_onnx(copy)), ir::canonical_hash(graph)) << form.file;
  }
}

// Its axis means something else since opset 13, which is the least that is written.
TEST(KeptOps, FormsThatAreGoneAreNotExported) {
  const ir::Graph graph = import_onnx(fixture("kept/softmax_old"));
  EXPECT_THAT(
      [&] { export_onnx(graph, {}, std::filesystem::path(::testing::TempDir()) / "k.onnx"); },
      ::testing::ThrowsMessage<UnsupportedError>(
          HasSubstr("is written for opset 11 and has another form in opset 13")));
}

TEST(ImportOps, ConvolutionsOverOneDimensionAreLayers) {
  const ir::Workload workload = ir::workload(import_onnx(fixture("kept/conv_1d")));
  ASSERT_THAT(workload.layers, SizeIs(1));
  EXPECT_EQ(workload.layers[0].dims.R, 1);
  EXPECT_EQ(workload.layers[0].dims.S, 3);
}

TEST(UnknownOps, UnfixedSizesLeaveNodesWithoutShape) {
  const ir::Graph graph = import_onnx(fixture("unknown/dynamic_size"));
  EXPECT_THAT(ir::unknown_operators(graph), IsEmpty());
  EXPECT_THAT(ir::unsized_nodes(graph), SizeIs(graph.nodes().size()));
}

TEST(ImportOptions, StatedSizesGiveShapes) {
  const auto file = fixture("unknown/dynamic_size");
  const ir::Graph graph = import_onnx(file, {.sizes = {{"H", 3}, {"W", 5}}});
  EXPECT_THAT(ir::unsized_nodes(graph), IsEmpty());
  EXPECT_EQ(graph.value(graph.outputs[0]).shape, (ir::Shape{1, 30}));
  EXPECT_EQ(import_onnx(file, {.shapes = {{"x", {1, 2, 4, 4}}}}).value({0}).shape,
            (ir::Shape{1, 2, 4, 4}));
}

}  // namespace
}  // namespace tessera::onnx
