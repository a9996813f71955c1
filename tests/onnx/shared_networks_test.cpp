// SPDX-License-Identifier: Apache-2.0
// Networks as PyTorch's two exporters write them.
#include <gmock/gmock.h>

#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

struct Network {
  std::string file;
  std::size_t layers;
  std::int64_t macs;
  std::int64_t params;  // after folding
};

// MACs and parameters: summed over the files' Conv and Gemm nodes with ONNX's own shape inference,
// one bias per output channel since BatchNorm folds into one.
const Network kNetworks[] = {
    {"resnet8_opset13", 10, 12501632, 77706},       {"resnet20_opset13", 22, 40813184, 271690},
    {"resnet20_opset20", 22, 40813184, 271690},     {"mobilenetv1_opset13", 28, 46354432, 3206282},
    {"mobilenetv2_opset13", 53, 87976448, 2219626},
};

class SharedNetworks : public ::testing::TestWithParam<Network> {};

TEST_P(SharedNetworks, ImportAndCount) {
  TESSERA_SHARED_OR_SKIP(path, "models/" + GetParam().file + ".onnx");
  const ir::Graph imported = import_onnx(path);
  EXPECT_THAT(ir::unknown_operators(imported), ::testing::IsEmpty());
  const ir::Graph graph = ir::canonicalize(imported);
  const ir::Workload workload = ir::workload(graph);
  EXPECT_EQ(workload.layers.size(), GetParam().layers);
  EXPECT_EQ(workload.macs, GetParam().macs);
  EXPECT_EQ(workload.params, GetParam().params);
  EXPECT_EQ(*graph.value(graph.inputs.at(0)).shape, (ir::Shape{1, 3, 32, 32}));
  EXPECT_EQ(*graph.value(graph.outputs.at(0)).shape, (ir::Shape{1, 10}));
  EXPECT_EQ(graph.value(graph.outputs.at(0)).name, "logits");
  for (const ir::Node& node : graph.nodes())
    EXPECT_FALSE(std::holds_alternative<ir::BatchNorm>(node.op)) << node.name;
}

TEST_P(SharedNetworks, ExportAndImportKeepTheHash) {
  TESSERA_SHARED_OR_SKIP(path, "models/" + GetParam().file + ".onnx");
  const ir::Graph imported = import_onnx(path);
  const auto copy = testing::temp_folder() / "copy.onnx";
  export_onnx(imported, {}, copy);
  EXPECT_EQ(ir::canonical_hash(import_onnx(copy)), ir::canonical_hash(imported));
  export_onnx(ir::canonicalize(imported), {}, copy);
  EXPECT_EQ(ir::canonical_hash(import_onnx(copy)), ir::canonical_hash(imported));
}

INSTANTIATE_TEST_SUITE_P(All, SharedNetworks, ::testing::ValuesIn(kNetworks),
                         [](const auto& test) { return test.param.file; });

TEST(SharedNetworks, OneNetworkFromTwoExportersHasOneHash) {
  TESSERA_SHARED_OR_SKIP(folded_here, "models/resnet20_opset13.onnx");
  TESSERA_SHARED_OR_SKIP(folded_there, "models/resnet20_opset20.onnx");
  EXPECT_EQ(ir::canonical_hash(import_onnx(folded_here)),
            ir::canonical_hash(import_onnx(folded_there)));
}

}  // namespace
}  // namespace tessera::onnx
