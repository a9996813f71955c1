// SPDX-License-Identifier: Apache-2.0
#include "export_ops.h"

#include "tessera/core/error.h"

#include "fold_node.h"

namespace tessera::onnx {
namespace {

using ir::Tensor;

// As it came: positions without an input stay empty. The file gets the opset that the operator was
// read with.
void write_generic(ModelWriter& writer, const ir::Node& node, const ir::Generic& op,
                   const std::vector<std::string>& inputs) {
  std::vector<std::string> slots(
      op.positions.empty() ? 0 : static_cast<std::size_t>(op.positions.back()) + 1);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    slots[static_cast<std::size_t>(op.positions[i])] = inputs[i];
  std::vector<std::string> outputs;
  for (const ir::ValueId output : node.outputs)
    outputs.push_back(writer.graph().value(output).name);
  writer.require_opset(op.opset);
  writer.keep_form(node.name, op);
  NodeWriter written = writer.add_node(op.type, node.name, slots, outputs, op.domain);
  for (const auto& [name, value] : op.attributes)
    std::visit([&](const auto& held) { written.set(name, held); }, value);
}

// Writes one node; the alternatives of ir::Op.
class OpWriter {
 public:
  OpWriter(ModelWriter& writer, const ir::Node& node, std::vector<std::string> inputs)
      : writer_(writer), node_(node), inputs_(std::move(inputs)) {}

  void operator()(const ir::Conv& conv) const {
    const ir::Shape& weight = *writer_.graph().value(node_.inputs[1]).shape;
    add("Conv")
        .set("dilations", conv.dilations)
        .set("group", conv.groups)
        .set("kernel_shape", std::vector{weight[2], weight[3]})
        .set("pads", conv.pads)
        .set("strides", conv.strides);
  }

  void operator()(const ir::Linear&) const {
    if (linear_weights_by_rows(writer_.graph(), node_)) {
      add("Gemm").set("transB", std::int64_t{1});
      return;
    }
    if (inputs_.size() == 2) {
      add("MatMul");
      return;
    }
    const std::string product = writer_.value_name(output() + "_product");
    writer_.add_node("MatMul", node_.name, {inputs_[0], inputs_[1]}, product);
    writer_.add_node("Add", writer_.node_name(node_.name + "/Add"), {product, inputs_[2]},
                     output());
  }

  void operator()(const ir::BatchNorm& norm) const {
    add("BatchNormalization").set("epsilon", static_cast<float>(norm.epsilon));
  }

  void operator()(const ir::Unary& unary) const {
    switch (unary.kind) {
      case ir::UnaryKind::kClip:
        writer_.add_node("Clip", node_.name,
                         {inputs_[0], scalar("_min", unary.alpha), scalar("_max", unary.beta)},
                         output());
        return;
      case ir::UnaryKind::kLeakyRelu:
        add("LeakyRelu").set("alpha", unary.alpha);
        return;
      case ir::UnaryKind::kHardSigmoid:
        add("HardSigmoid").set("alpha", unary.alpha).set("beta", unary.beta);
        return;
      case ir::UnaryKind::kHardSwish:
        writer_.require_opset(14);
        add("HardSwish");
        return;
      case ir::UnaryKind::kIdentity:
      case ir::UnaryKind::kRelu:
      case ir::UnaryKind::kSigmoid:
      case ir::UnaryKind::kTanh:
        add(std::string(name(unary.kind)));
        return;
    }
  }

  void operator()(const ir::Binary& binary) const { add(std::string(name(binary.kind))); }

  void operator()(const ir::Pool& pool) const {
    NodeWriter node = add(std::string(name(node_.op)));
    node.set("kernel_shape", pool.kernel)
        .set("strides", pool.strides)
        .set("pads", pool.pads)
        .set("ceil_mode", std::int64_t{pool.ceil_mode});
    if (pool.kind == ir::PoolKind::kAverage)
      node.set("count_include_pad", std::int64_t{pool.count_include_pad});
  }

  void operator()(const ir::GlobalPool&) const { add(std::string(name(node_.op))); }
  void operator()(const ir::Flatten&) const { add("Flatten").set("axis", std::int64_t{1}); }

  void operator()(const ir::Reshape& reshape) const {
    std::vector<std::int64_t> target{0};  // 0 keeps the batch
    target.insert(target.end(), reshape.sizes.begin(), reshape.sizes.end());
    const auto rank = static_cast<std::int64_t>(target.size());
    writer_.add_node(
        "Reshape", node_.name,
        {inputs_[0], writer_.add_initializer(node_.name + "_shape", Tensor::from({rank}, target))},
        output());
  }

  void operator()(const ir::Concat& concat) const { add("Concat").set("axis", concat.axis); }

  void operator()(const ir::Pad& pad) const {
    const std::vector<std::int64_t> pads{0, 0, pad.pads[0], pad.pads[1],
                                         0, 0, pad.pads[2], pad.pads[3]};
    writer_.add_node(
        "Pad", node_.name,
        {inputs_[0], writer_.add_initializer(node_.name + "_pads", Tensor::from({8}, pads)),
         scalar("_value", pad.value)},
        output());
  }

  void operator()(const ir::Softmax& softmax) const { add("Softmax").set("axis", softmax.axis); }

  void operator()(const ir::Generic& op) const { write_generic(writer_, node_, op, inputs_); }

  void operator()(const ir::Unknown& unknown) const {
    throw UnsupportedError(fmt::format("node '{}' ({}) cannot be exported: {}", node_.name,
                                       unknown.type, unknown.why));
  }

 private:
  const std::string& output() const { return writer_.graph().value(node_.outputs[0]).name; }
  NodeWriter add(const std::string& type) const {
    return writer_.add_node(type, node_.name, inputs_, output());
  }
  std::string scalar(const std::string& suffix, float value) const {
    return writer_.add_initializer(node_.name + suffix,
                                   Tensor::from({}, std::vector<float>{value}));
  }

  ModelWriter& writer_;
  const ir::Node& node_;
  std::vector<std::string> inputs_;
};

}  // namespace

bool linear_weights_by_rows(const ir::Graph& graph, const ir::Node& linear) {
  return graph.value(linear.inputs[0]).shape->size() == 2;
}

Tensor transposed_matrix(const Tensor& matrix) {
  return transposed(matrix, {1, 0});
}

void write_node(ModelWriter& writer, const ir::Node& node, std::vector<std::string> inputs) {
  std::visit(OpWriter(writer, node, std::move(inputs)), node.op);
}

}  // namespace tessera::onnx
