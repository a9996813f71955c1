// SPDX-License-Identifier: Apache-2.0
// The rules of docs/rules/export.md: how layers are written under a mapping.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

#include "ir/build_graph.h"
#include "onnx/fixture.h"
#include "onnx/model_file.h"
#include "onnx/read_tensor.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

// Two output channels of one weight each: 1.0, -3.0; bias 0.5, -0.25.
ir::Graph one_conv() {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 1, 2, 2});
  return b.finish(
      {b.node("conv", ir::Conv{},
              {x, b.constant("w", {2, 1, 1, 1}, {1, -3}), b.constant("b", {2}, {0.5F, -0.25F})})});
}

plan::Path path_of(format::NumberFormat format, const std::string& unit = "npu") {
  return {{{unit, std::move(format), {0, 2}}}};
}

plan::LayerNumerics codes(std::int32_t high) {
  return {.weights = {.scales = {0.5F, 1.0F}, .zero_points = {0, 0}, .low = -high, .high = high},
          .input = {.scales = {0.25F}, .zero_points = {-3}, .low = -128, .high = 127}};
}

class Exported {
 public:
  Exported(const ir::Graph& graph, plan::Path path, plan::LayerNumerics numerics, int opset = 13) {
    const auto file = testing::temp_folder() / "m.onnx";
    ExportMapping mapping{.assignment = {{std::move(path)}}, .numerics = {}};
    mapping.numerics["conv"] = std::move(numerics);
    export_onnx(graph, {.mapping = std::move(mapping), .opset = opset}, file);
    model_ = whole_model(file);
  }

  std::vector<std::string> types() const {
    std::vector<std::string> list;
    for (const auto& node : model_.graph().node())
      list.push_back(node.op_type());
    return list;
  }
  ir::Tensor initializer(const std::string& name) const {
    ExternalFiles no_files;
    for (const auto& tensor : model_.graph().initializer()) {
      if (tensor.name() == name)
        return read_tensor(tensor, no_files);
    }
    throw std::runtime_error("no initializer " + name);
  }
  std::string metadata(const std::string& key) const {
    for (const auto& entry : model_.metadata_props()) {
      if (entry.key() == key)
        return entry.value();
    }
    return "";
  }
  const pb::ModelProto& model() const { return model_; }

 private:
  pb::ModelProto model_;
};

template <typename T>
std::vector<T> list(const ir::Tensor& tensor) {
  return {tensor.values<T>().begin(), tensor.values<T>().end()};
}

TEST(ExportLayers, X1_InputGoesThroughQuantizeAndDequantize) {
  const Exported file(one_conv(), path_of(format::Integer{}), codes(127));
  EXPECT_THAT(file.types(), ElementsAre("QuantizeLinear", "DequantizeLinear", "DequantizeLinear",
                                        "DequantizeLinear", "Conv"));
  EXPECT_EQ(file.model().graph().node(0).input(0), "x");
  EXPECT_THAT(list<float>(file.initializer("conv/input_scale")), ElementsAre(0.25F));
  EXPECT_THAT(list<std::int8_t>(file.initializer("conv/input_zero_point")), ElementsAre(-3));
  EXPECT_EQ(default_opset(file.model()), 13);
}

TEST(ExportLayers, X2_NarrowCodesAreClippedBefore) {
  plan::LayerNumerics narrow = codes(7);
  narrow.input.low = -8;
  narrow.input.high = 7;
  const Exported file(one_conv(), path_of(format::Integer{4, 4}), narrow);
  EXPECT_EQ(file.types()[0], "Clip");
  EXPECT_THAT(list<float>(file.initializer("conv/input_low")), ElementsAre(-1.25F));
  EXPECT_THAT(list<float>(file.initializer("conv/input_high")), ElementsAre(2.5F));
}

TEST(ExportLayers, X3_WeightsAreIntegersPerChannel) {
  const Exported file(one_conv(), path_of(format::Integer{}), codes(127));
  EXPECT_THAT(list<std::int8_t>(file.initializer("w_quantized")), ElementsAre(2, -3));
  EXPECT_THAT(list<float>(file.initializer("conv/weight_scale")), ElementsAre(0.5F, 1.0F));
  EXPECT_THAT(list<std::int8_t>(file.initializer("conv/weight_zero_point")), ElementsAre(0, 0));
  // Two bits hold -1, 0, 1.
  const Exported two(one_conv(), path_of(format::Integer{2, 8}), codes(1));
  EXPECT_THAT(list<std::int8_t>(two.initializer("w_quantized")), ElementsAre(1, -1));
}

TEST(ExportLayers, X3_TiesGoToEven) {
  plan::LayerNumerics numerics = codes(127);
  numerics.weights.scales = {0.4F, 2.0F};  // 1 / 0.4 = 2.5, -3 / 2 = -1.5
  const Exported file(one_conv(), path_of(format::Integer{}), numerics);
  EXPECT_THAT(list<std::int8_t>(file.initializer("w_quantized")), ElementsAre(2, -2));
}

TEST(ExportLayers, X4_BiasIsInt32WithTheProductOfScales) {
  const Exported file(one_conv(), path_of(format::Integer{}), codes(127));
  EXPECT_THAT(list<float>(file.initializer("conv/bias_scale")), ElementsAre(0.125F, 0.25F));
  EXPECT_THAT(list<std::int32_t>(file.initializer("b_quantized")), ElementsAre(4, -1));
}

TEST(ExportLayers, X5_SixteenBitsNeedOpset21) {
  plan::LayerNumerics wide = codes(32767);
  wide.input.low = -32768;
  wide.input.high = 32767;
  const Exported file(one_conv(), path_of(format::Integer{16, 16}), wide);
  EXPECT_EQ(default_opset(file.model()), 21);
  EXPECT_EQ(file.model().ir_version(), 10);
  EXPECT_EQ(file.initializer("w_quantized").dtype(), ir::DType::kInt16);
}

TEST(ExportLayers, X6_Float16RoundsWeights) {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 1, 2, 2});
  const std::vector<float> weights{0.1F, 2049, 65520, 0x1.8p-25F, 65519, -0.0F};
  const ir::Graph graph =
      b.finish({b.node("conv", ir::Conv{}, {x, b.constant("w", {6, 1, 1, 1}, weights)})});
  const Exported file(graph, {{{"npu", format::Float{16}, {0, 6}}}}, {});
  EXPECT_THAT(file.types(), ElementsAre("Conv"));
  // Published values of binary16: 0.1 is 0x2e66, 2049 is a tie, 65520 is past the last finite one.
  EXPECT_THAT(list<float>(file.initializer("w_fp16")),
              ElementsAre(0.0999755859375F, 2048, INFINITY, 0x1p-24F, 65504, -0.0F));
}

TEST(ExportLayers, X7_AnalogIsItsIntegerTwinWithMetadata) {
  const Exported file(one_conv(), path_of(format::Analog{"pcm-lionheart"}, "pcm"), codes(127));
  EXPECT_EQ(file.types().back(), "Conv");
  EXPECT_EQ(file.types().front(), "QuantizeLinear");
  EXPECT_EQ(file.metadata("tessera.layer.conv"), "unit=pcm;format=analog:pcm-lionheart");
}

TEST(ExportLayers, X8_PartsHaveTheirOwnWidths) {
  const plan::Path split{
      {{"a", format::Integer{8, 8}, {0, 1}}, {"b", format::Integer{2, 8}, {1, 2}}}};
  const Exported file(one_conv(), split, codes(127));
  EXPECT_THAT(list<std::int8_t>(file.initializer("w_quantized")), ElementsAre(2, -1));
  EXPECT_EQ(file.metadata("tessera.layer.conv"),
            "unit=a;format=int8;channels=0:1 + unit=b;format=int2/a8;channels=1:2");
  const plan::Path mixed{{{"a", format::Integer{}, {0, 1}}, {"b", format::Float{16}, {1, 2}}}};
  EXPECT_THAT([&] { Exported(one_conv(), mixed, codes(127)); },
              ThrowsMessage<UnsupportedError>(HasSubstr("layer 'conv' mixes int8 and fp16")));
}

// Weights of a 1x1 convolution with codes 1 … 4 and 97, 127, -127, 100 in blocks of four, half of
// them low: the powers of two, exactly, and what is nearest.
TEST(ExportLayers, X10_StrumWritesTheCodesThatHardwareMultipliesWith) {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 8, 1, 1});
  const std::vector<float> weights{1, 2, 3, 4, 97, 127, -127, 100};
  const ir::Graph graph =
      b.finish({b.node("conv", ir::Conv{}, {x, b.constant("w", {1, 8, 1, 1}, weights)})});
  plan::LayerNumerics numerics = codes(127);
  numerics.weights.scales = {1};
  numerics.weights.zero_points = {0};
  const auto written = [&](const format::Strum& scheme) {
    return Exported(graph, {{{"npu", scheme, {0, 1}}}}, numerics);
  };
  format::Strum scheme{.block_columns = 4};
  // 128 is no INT8 value: 127 would become 64, so it stays high.
  EXPECT_THAT(list<std::int8_t>(written(scheme).initializer("w_quantized")),
              ElementsAre(1, 2, 3, 4, 64, 127, -128, 100));
  EXPECT_EQ(default_opset(written(scheme).model()), 13);
  EXPECT_EQ(written(scheme).metadata("tessera.layer.conv"),
            "unit=npu;format=strum:mip2q,p=0.5,L=7,block=1x4/a8");
  scheme.low = format::Mip2q{.plus_128 = true};
  EXPECT_THAT(list<std::int16_t>(written(scheme).initializer("w_quantized")),
              ElementsAre(1, 2, 3, 4, 97, 128, -128, 100));
  EXPECT_EQ(default_opset(written(scheme).model()), 21);
  numerics.weights.zero_points = {1};
  EXPECT_THAT([&] { written(scheme); },
              ThrowsMessage<ConfigError>(HasSubstr(
                  "codes from -127 to 127 around a zero point, allowed for strum:mip2q")));
}

TEST(ExportLayers, X9_LayersThatReadOneValueShareItsCodes) {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 1, 2, 2});
  const ir::ValueId p = b.node("p", ir::Conv{}, {x, b.constant("v", {2, 1, 1, 1}, {1, 2})});
  const ir::ValueId q = b.node("q", ir::Conv{}, {x, b.constant("w", {2, 1, 1, 1}, {1, 2})});
  const ir::Graph graph = b.finish({b.node("sum", ir::Binary{}, {p, q})});
  ExportMapping mapping{.assignment = {{path_of(format::Integer{}), path_of(format::Integer{})}},
                        .numerics = {{"p", codes(127)}, {"q", codes(127)}}};
  const auto file = testing::temp_folder() / "m.onnx";
  export_onnx(graph, {.mapping = mapping}, file);
  const pb::ModelProto model = whole_model(file);
  EXPECT_EQ(std::ranges::count_if(model.graph().node(),
                                  [](const auto& n) { return n.op_type() == "QuantizeLinear"; }),
            1);
}

TEST(ExportLayers, RefusesNumericsThatDoNotFit) {
  const auto with = [](const plan::LayerNumerics& numerics) {
    return [numerics] { Exported(one_conv(), path_of(format::Integer{}), numerics); };
  };
  EXPECT_THAT(with({}),
              ThrowsMessage<ConfigError>(HasSubstr("numerics of layer 'conv', input: missing")));
  plan::LayerNumerics numerics = codes(127);
  numerics.weights.scales = {1, 1, 1};
  EXPECT_THAT(with(numerics), ThrowsMessage<ConfigError>(HasSubstr("3 scales and 2 zero points")));
  numerics = codes(127);
  numerics.weights.scales[1] = 0;
  EXPECT_THAT(with(numerics), ThrowsMessage<ConfigError>(HasSubstr("a scale of 0")));
  numerics = codes(127);
  numerics.input.zero_points = {200};
  EXPECT_THAT(with(numerics), ThrowsMessage<ConfigError>(HasSubstr("a zero point of 200")));
}

// Two channels of 3·2·2 weights in groups of 8: 8 and 4, at scales 1 and 2, 0.5 and 1.
TEST(ExportLayers, X12_GroupsAreBlocksOfAMatrix) {
  ir::GraphBuilder b;
  const ir::ValueId x = b.input("x", {1, 3, 2, 2});
  const std::vector<float> weights{1, 2, 3, 4, 5, 6, 7, -7,    2, 4, 6, -8,  //
                                   1, 1, 1, 1, 1, 1, 1, -0.5F, 1, 2, 3, -9};
  const ir::Graph graph = b.finish(
      {b.node("conv", ir::Conv{},
              {x, b.constant("w", {2, 3, 2, 2}, weights), b.constant("b", {2}, {0.3F, -0.7F})})});
  plan::LayerNumerics numerics = codes(7);
  numerics.weights.scales = {1, 2, 0.5F, 1};
  numerics.weights.zero_points = {0, 0, 0, 0};
  numerics.weights.group = 8;
  const plan::Path path = path_of(format::Integer{4, 8, 8});
  const Exported file(graph, path, numerics);
  EXPECT_THAT(file.types(), ElementsAre("QuantizeLinear", "DequantizeLinear", "DequantizeLinear",
                                        "Reshape", "Conv"));
  EXPECT_EQ(default_opset(file.model()), 21);
  const auto& nodes = file.model().graph().node();
  const pb::NodeProto& weight = nodes[2];
  ASSERT_EQ(weight.input_size(), 2);
  std::map<std::string, std::int64_t> attributes;
  for (const auto& attribute : weight.attribute())
    attributes[attribute.name()] = attribute.i();
  EXPECT_THAT(attributes, ElementsAre(Pair("axis", 1), Pair("block_size", 8)));
  for (const auto& tensor : file.model().graph().initializer()) {
    if (tensor.name() == "w_quantized") {
      EXPECT_EQ(tensor.data_type(), 22);  // INT4
    }
  }
  const ir::Tensor integers = file.initializer("w_quantized");
  EXPECT_EQ(integers.shape(), (ir::Shape{2, 12}));
  EXPECT_THAT(list<std::int8_t>(integers), ElementsAre(1, 2, 3, 4, 5, 6, 7, -7, 1, 2, 3, -4,  //
                                                       2, 2, 2, 2, 2, 2, 2, -1, 1, 2, 3, -7));
  const ir::Tensor scales = file.initializer("conv/weight_scale");
  EXPECT_EQ(scales.shape(), (ir::Shape{2, 2}));
  EXPECT_THAT(list<float>(scales), ElementsAre(1, 2, 0.5F, 1));
  EXPECT_THAT(list<std::int64_t>(file.initializer("conv/weight/Reshape_shape")),
              ElementsAre(0, 3, 2, 2));
  EXPECT_EQ(nodes[4].input(2), "b");

  const auto with = [&](const plan::Path& other) {
    return [&graph, numerics, other] { Exported(graph, other, numerics); };
  };
  EXPECT_THAT(with(path_of(format::Integer{4, 8})),
              ThrowsMessage<ConfigError>(
                  HasSubstr("layer 'conv', weights: groups of 8, allowed for int4/a8: 0")));
  numerics.weights.scales.pop_back();
  EXPECT_THAT(with(path), ThrowsMessage<ConfigError>(HasSubstr(
                              "3 scales for 12 weights of each of 2 channels in groups of 8, "
                              "allowed: 4")));
  numerics.weights.scales.push_back(1);
  numerics.weights.zero_points[1] = 1;
  EXPECT_THAT(with(path), ThrowsMessage<ConfigError>(HasSubstr("a zero point beside 0")));
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A convolution in groups, one in int4, one in int8, a product with int4 weights that stand
// transposed.
TEST(ExportLayers, X13_CopiesOfQuantizedFilesAreTheSameFile) {
  ir::GraphBuilder b;
  ir::ValueId x = b.input("x", {1, 3, 2, 2});
  x = b.node("groups", ir::Conv{}, {x, b.ramp("w1", {2, 3, 1, 1}, -1), b.ramp("b1", {2})});
  x = b.node("four", ir::Conv{}, {x, b.ramp("w2", {2, 2, 1, 1}, -0.5F), b.ramp("b2", {2})});
  x = b.node("eight", ir::Conv{}, {x, b.ramp("w3", {2, 2, 1, 1}, -0.5F)});
  x = b.node("flat", ir::Flatten{}, {x});
  x = b.node("fc", ir::Linear{}, {x, b.ramp("w4", {3, 8}, -2, 0.15F)});
  ir::Graph graph = b.finish({x});
  // Weights behind a DequantizeLinear are no constants, so an import that folds nothing holds them,
  // and with them the batch, as they are.
  graph.batched = false;
  plan::LayerNumerics groups = codes(7);
  groups.weights.group = 8;
  plan::LayerNumerics rows = codes(7);
  rows.weights.scales = {0.25F, 0.5F, 0.3F};
  rows.weights.zero_points = {0, 0, 0};
  const ExportMapping mapping{
      .assignment = {{path_of(format::Integer{4, 8, 8}),
                      path_of(format::Integer{4, 8}),
                      path_of(format::Integer{}),
                      {{{"npu", format::Integer{4, 8}, {0, 3}}}}}},
      .numerics = {{"groups", groups}, {"four", codes(7)}, {"eight", codes(127)}, {"fc", rows}}};
  const auto folder = testing::temp_folder();
  export_onnx(graph, {.mapping = mapping, .opset = 21}, folder / "first.onnx");
  export_onnx(import_onnx(folder / "first.onnx"), {}, folder / "second.onnx");

  const pb::ModelProto first = whole_model(folder / "first.onnx");
  const auto four_bits = std::ranges::count_if(
      first.graph().initializer(), [](const auto& tensor) { return tensor.data_type() == 22; });
  EXPECT_EQ(four_bits, 1 + 2 + 2) << "codes of three layers, zero points of two";
  EXPECT_EQ(default_opset(first), 21);
  EXPECT_TRUE(bytes_of(folder / "first.onnx") == bytes_of(folder / "second.onnx"));
}

// A zero point must have the type of its codes, and other operators read bytes.
TEST(ExportLayers, X13_FourBitConstantsThatMeetBytesAreBytes) {
  const auto written = [](bool zero_is_small, bool read_elsewhere) {
    ir::GraphBuilder b;
    const auto integers = [&](const std::string& name, ir::Shape shape, bool small) {
      ir::Tensor tensor = ir::Tensor::from(
          shape, std::vector<std::uint8_t>(static_cast<std::size_t>(ir::element_count(shape)), 3));
      if (small)
        tensor.note_four_bits();
      return b.graph.add_constant(name, tensor);
    };
    const ir::ValueId x = b.input("x", {1, 2});
    const ir::ValueId codes = integers("codes", {1, 2}, true);
    ir::Generic dequantize{.type = "DequantizeLinear", .opset = 21, .positions = {0, 1, 2}};
    const ir::ValueId real =
        b.node("dq", dequantize,
               {codes, b.constant("scale", {}, {0.5F}), integers("zero", {}, zero_is_small)});
    std::vector<ir::ValueId> outputs{b.node("sum", ir::Binary{}, {x, real})};
    if (read_elsewhere)
      outputs.push_back(codes);
    const auto file = testing::temp_folder() / "m.onnx";
    export_onnx(b.finish(outputs), {}, file);
    const pb::ModelProto model = whole_model(file);
    std::map<std::string, int> types;
    for (const auto& tensor : model.graph().initializer())
      types[tensor.name()] = tensor.data_type();
    return std::pair(types.at("codes"), types.at("zero"));
  };
  constexpr int kUint8 = 2;
  constexpr int kUint4 = 21;
  EXPECT_EQ(written(true, false), std::pair(kUint4, kUint4));
  EXPECT_EQ(written(false, false), std::pair(kUint8, kUint8));
  EXPECT_EQ(written(true, true), std::pair(kUint8, kUint8));
}

// 1.0 and -3.0 at scales 0.5 and 1.0 are 2 and -3: one byte, the first in its low half.
TEST(Export, X11_FourBitWeightsAreStoredInFourBits) {
  const Exported small(one_conv(), path_of(format::Integer{4, 8}), codes(7), 21);
  const auto& tensors = small.model().graph().initializer();
  const auto found = std::ranges::find_if(
      tensors, [](const pb::TensorProto& tensor) { return tensor.name() == "w_quantized"; });
  ASSERT_NE(found, tensors.end());
  EXPECT_EQ(found->data_type(), 22);
  EXPECT_EQ(found->raw_data(), "\xd2");
  EXPECT_THAT(list<std::int8_t>(small.initializer("w_quantized")), ElementsAre(2, -3));
  const Exported wide(one_conv(), path_of(format::Integer{8, 8}), codes(127), 21);
  EXPECT_THAT(list<std::int8_t>(wide.initializer("w_quantized")), ElementsAre(2, -3));
  for (const auto& tensor : wide.model().graph().initializer())
    EXPECT_NE(tensor.data_type(), 22);
}

}  // namespace
}  // namespace tessera::onnx
