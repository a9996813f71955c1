// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/architectures.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/ir/verify.h"

namespace tessera::flow {
namespace {

// Adds nodes to a graph; each returns the value that it makes.
class Builder {
 public:
  explicit Builder(Rng rng) : rng_(rng) {}

  ir::ValueId conv_norm(const std::string& name, ir::ValueId x, std::int64_t in, std::int64_t out,
                        std::int64_t kernel, std::int64_t stride) {
    const std::int64_t pad = kernel / 2;
    const ir::ValueId weight =
        normal(name + ".weight", {out, in, kernel, kernel}, in * kernel * kernel);
    const ir::ValueId y =
        node(name + "/Conv", ir::Conv{.strides = {stride, stride}, .pads = {pad, pad, pad, pad}},
             {x, weight});
    return node(name + "/BatchNorm", ir::BatchNorm{},
                {y, constant(name + ".gamma", out, 1), constant(name + ".beta", out, 0),
                 constant(name + ".mean", out, 0), constant(name + ".var", out, 1)});
  }

  ir::ValueId relu(const std::string& name, ir::ValueId x) {
    return node(name, ir::Unary{.kind = ir::UnaryKind::kRelu}, {x});
  }

  ir::ValueId normal(const std::string& name, ir::Shape shape, std::int64_t fan_in) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    Rng rng = rng_.split(name);
    const double sigma = std::sqrt(2.0 / static_cast<double>(fan_in));
    for (float& value : values)
      value = static_cast<float>(sigma * rng.normal());
    return graph.add_constant(name, ir::Tensor::from<float>(std::move(shape), values));
  }

  ir::ValueId constant(const std::string& name, std::int64_t size, float value) {
    return graph.add_constant(
        name,
        ir::Tensor::from<float>({size}, std::vector<float>(static_cast<std::size_t>(size), value)));
  }

  ir::ValueId node(const std::string& name, ir::Op op, std::vector<ir::ValueId> inputs) {
    const ir::ValueId output = graph.add_value({.name = name + "_output"});
    graph.add_node(
        {.name = name, .op = std::move(op), .inputs = std::move(inputs), .outputs = {output}});
    return output;
  }

  ir::Graph graph;

 private:
  Rng rng_;
};

const std::map<std::string, int>& blocks_per_stage() {
  static const std::map<std::string, int> blocks = {{"resnet20", 3}, {"resnet8", 1}};
  return blocks;
}

}  // namespace

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const auto& [name, blocks] : blocks_per_stage())
    names.push_back(name);
  return names;
}

ir::Graph make_architecture(std::string_view name, const ir::Shape& image, std::int64_t classes,
                            Rng rng) {
  const auto found = blocks_per_stage().find(std::string(name));
  if (found == blocks_per_stage().end()) {
    throw UsageError(unknown_name("architecture", name, architecture_names()));
  }
  TESSERA_CHECK(image.size() == 4, "image shape {}", ir::to_string(image));
  Builder b(rng);
  const ir::ValueId input = b.graph.add_value({.name = "input", .shape = image});
  b.graph.inputs = {input};
  std::int64_t channels = 16;
  ir::ValueId x = b.relu("/stem/Relu", b.conv_norm("/stem", input, image[1], channels, 3, 1));
  for (int stage = 0; stage < 3; ++stage) {
    for (int block = 0; block < found->second; ++block) {
      const std::string at = fmt::format("/stage{}/block{}", stage + 1, block + 1);
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      const std::int64_t out = std::int64_t{16} << stage;
      ir::ValueId y =
          b.relu(at + "/Relu1", b.conv_norm(at + "/conv1", x, channels, out, 3, stride));
      y = b.conv_norm(at + "/conv2", y, out, out, 3, 1);
      const ir::ValueId shortcut =
          stride == 1 ? x : b.conv_norm(at + "/shortcut", x, channels, out, 1, stride);
      x = b.relu(at + "/Relu2", b.node(at + "/Add", ir::Binary{}, {y, shortcut}));
      channels = out;
    }
  }
  x = b.node("/Flatten", ir::Flatten{}, {b.node("/pool", ir::GlobalPool{}, {x})});
  const ir::ValueId weight = b.normal("/fc.weight", {classes, channels}, channels);
  b.graph.outputs = {b.node("/fc", ir::Linear{}, {x, weight, b.constant("/fc.bias", classes, 0)})};
  b.graph.value(b.graph.outputs.front()).name = "logits";
  return ir::infer_shapes(std::move(b.graph));
}

}  // namespace tessera::flow
