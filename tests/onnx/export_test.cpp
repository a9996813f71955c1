// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/export.h"

#include <fstream>

#include <gmock/gmock.h>

#include "tessera/ir/passes.h"
#include "tessera/onnx/import.h"

#include "ir/build_graph.h"
#include "onnx/fixture.h"
#include "onnx/model_file.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Every fixture that is understood goes out and comes back as the same network.
class ExportFixtures : public ::testing::TestWithParam<std::string> {};

TEST_P(ExportFixtures, ImportOfExportIsIdentity) {
  const ir::Graph graph = import_onnx(fixture("ops/" + GetParam()));
  const auto path = testing::temp_folder() / "copy.onnx";
  export_onnx(graph, {}, path);
  const ir::Graph copy = import_onnx(path);
  EXPECT_EQ(ir::canonical_hash(copy), ir::canonical_hash(graph));
  ASSERT_EQ(copy.nodes().size(), graph.nodes().size());
  for (std::size_t i = 0; i < copy.nodes().size(); ++i)
    EXPECT_EQ(copy.nodes()[i].name, graph.nodes()[i].name);
}

INSTANTIATE_TEST_SUITE_P(All, ExportFixtures,
                         ::testing::Values("add", "average_pool", "batch_normalization",
                                           "clip_above", "clip_inputs", "concat", "conv",
                                           "conv_same_lower", "defaults", "div", "flatten", "gemm",
                                           "gemm_scaled", "global_average_pool", "global_max_pool",
                                           "hard_sigmoid", "hard_swish", "identity", "leaky_relu",
                                           "matmul", "max_pool", "mul", "pad_inputs",
                                           "reduce_mean_input", "relu", "reshape", "sigmoid",
                                           "softmax", "sub", "tanh"),
                         [](const auto& test) { return test.param; });

TEST(Export, LinearOverRowsWithBias) {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 5, 2});
  const ir::Graph graph =
      b.finish({b.node("fc", ir::Linear{}, {x, b.ramp("w", {3, 2}), b.ramp("bias", {3}, 1)})});
  const auto path = testing::temp_folder() / "m.onnx";
  export_onnx(graph, {}, path);
  EXPECT_EQ(ir::canonical_hash(import_onnx(path)), ir::canonical_hash(graph));
}

TEST(Export, OpsetBatchAndMetadata) {
  ir::GraphBuilder b;
  ir::Graph graph =
      b.finish({b.node("r", ir::Unary{ir::UnaryKind::kRelu}, {b.input("x", {1, 2})})});
  graph.metadata = {{"tessera.mean", "0.5"}, {"tessera.std", "1"}};
  const auto path = testing::temp_folder() / "m.onnx";
  export_onnx(graph, {.metadata = {{"tessera.std", "2"}, {"author", "me"}}}, path);
  const pb::ModelProto model = whole_model(path);
  EXPECT_EQ(default_opset(model), 13);
  EXPECT_EQ(model.ir_version(), 7);
  EXPECT_EQ(model.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  const std::map<std::string, std::string> expected{
      {"author", "me"}, {"tessera.mean", "0.5"}, {"tessera.std", "2"}};
  EXPECT_EQ(import_onnx(path).metadata, expected);
}

TEST(Export, SameGraphSameBytes) {
  const ir::Graph graph = import_onnx(fixture("ops/conv"));
  const auto folder = testing::temp_folder();
  export_onnx(graph, {}, folder / "a.onnx");
  export_onnx(graph, {}, folder / "b.onnx");
  EXPECT_EQ(whole_model(folder / "a.onnx").SerializeAsString(),
            whole_model(folder / "b.onnx").SerializeAsString());
}

TEST(Export, RefusesWhatIsNotUnderstood) {
  const auto path = testing::temp_folder() / "m.onnx";
  const ir::Graph graph = import_onnx(fixture("unknown/operator"));
  EXPECT_THAT([&] { export_onnx(graph, {}, path); },
              ThrowsMessage<UnsupportedError>(HasSubstr("Fancy at 'node'")));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace tessera::onnx
