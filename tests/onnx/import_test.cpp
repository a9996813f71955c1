// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/import.h"

#include <cstring>

#include <gmock/gmock.h>

#include "tessera/core/file.h"
#include "tessera/ir/workload.h"

#include "onnx/fixture.h"
#include "onnx/model_file.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const ir::Tensor& constant(const ir::Graph& graph, std::string_view name) {
  for (const ir::Value& value : graph.values()) {
    if (value.name == name && value.constant)
      return *value.constant;
  }
  throw std::runtime_error("no constant " + std::string(name));
}

TEST(Import, InitializersOfEveryType) {
  const ir::Graph g = import_onnx(fixture("ops/types"));
  EXPECT_THAT(constant(g, "raw").values<float>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "double").values<float>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "half").values<float>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "half_raw").values<float>(), ElementsAre(0x1p-24F, -65504));
  EXPECT_THAT(constant(g, "bfloat").values<float>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "i8").values<std::int8_t>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "u8").values<std::uint8_t>(), ElementsAre(1, 254));
  EXPECT_THAT(constant(g, "i16").values<std::int16_t>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "u16").values<std::int32_t>(), ElementsAre(1, 65535));
  EXPECT_THAT(constant(g, "i32").values<std::int32_t>(), ElementsAre(1, -2));
  EXPECT_THAT(constant(g, "u32").values<std::int64_t>(), ElementsAre(1, 4294967295));
  EXPECT_THAT(constant(g, "i64").values<std::int64_t>(), ElementsAre(1, -2));
  EXPECT_EQ(constant(g, "flag").dtype(), ir::DType::kBool);
}

TEST(Import, DefaultsNamesMetadataAndOrder) {
  const ir::Graph g = import_onnx(fixture("ops/defaults"));
  EXPECT_THAT(g.inputs, SizeIs(1));  // k is a constant, though listed among the inputs
  ASSERT_THAT(g.nodes(), SizeIs(2));
  EXPECT_EQ(g.nodes()[0].name, "z");  // sorted, and named like its output
  EXPECT_EQ(g.nodes()[1].name, "y");
  EXPECT_THAT(g.metadata,
              ElementsAre(std::pair<const std::string, std::string>("tessera.mean", "0.5,0.25")));
}

// x [N,2,4,4] + k [2,1,1], k in an external file of 4 + 8 bytes.
TEST(Import, ExternalData) {
  pb::ModelProto model = whole_model(fixture("ops/add"));
  auto& k = *model.mutable_graph()->mutable_initializer(0);
  k.clear_float_data();
  k.clear_raw_data();
  k.set_data_location(pb::TensorProto::EXTERNAL);
  const auto entry = [&](const char* key, const char* value) {
    auto& added = *k.add_external_data();
    added.set_key(key);
    added.set_value(value);
  };
  entry("location", "weights.bin");
  entry("offset", "4");
  entry("length", "8");
  const auto folder = testing::temp_folder();
  const float values[] = {9, 3, -5};
  write_atomic(folder / "weights.bin", std::as_bytes(std::span(values)));
  write_atomic(folder / "m.onnx", model.SerializeAsString());
  EXPECT_THAT(constant(import_onnx(folder / "m.onnx"), "k").values<float>(), ElementsAre(3, -5));

  write_atomic(folder / "weights.bin", std::string_view("too short"));
  EXPECT_THROW(import_onnx(folder / "m.onnx"), ImportError);
}

TEST(Import, ManyNodesTakeLinearTime) {
  pb::ModelProto model = whole_model(fixture("ops/relu"));
  const pb::NodeProto first = model.graph().node(0);
  model.mutable_graph()->clear_node();
  constexpr int kNodes = 20000;
  for (int i = 0; i < kNodes; ++i) {
    pb::NodeProto& node = *model.mutable_graph()->add_node();
    node = first;
    node.set_name("n" + std::to_string(i));
    node.set_input(0, i == 0 ? "x" : "v" + std::to_string(i - 1));
    node.set_output(0, i == kNodes - 1 ? "y" : "v" + std::to_string(i));
  }
  const auto path = testing::temp_folder() / "long.onnx";
  write_atomic(path, model.SerializeAsString());
  const ir::Graph graph = import_onnx(path);
  EXPECT_THAT(ir::workload(graph).glue, SizeIs(kNodes));
}

}  // namespace
}  // namespace tessera::onnx
