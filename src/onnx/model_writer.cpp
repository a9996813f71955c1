// SPDX-License-Identifier: Apache-2.0
#include "model_writer.h"

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/ir/generic.h"

#include "node_reader.h"

namespace tessera::onnx {
namespace {

int onnx_type(ir::DType dtype) {
  switch (dtype) {
    case ir::DType::kFloat32:
      return pb::TensorProto::FLOAT;
    case ir::DType::kFloat16:
      return pb::TensorProto::FLOAT16;
    case ir::DType::kInt8:
      return pb::TensorProto::INT8;
    case ir::DType::kUint8:
      return pb::TensorProto::UINT8;
    case ir::DType::kInt16:
      return pb::TensorProto::INT16;
    case ir::DType::kInt32:
      return pb::TensorProto::INT32;
    case ir::DType::kInt64:
      return pb::TensorProto::INT64;
    case ir::DType::kBool:
      return pb::TensorProto::BOOL;
  }
  return pb::TensorProto::UNDEFINED;
}

void fill_tensor(pb::TensorProto& proto, const ir::Tensor& tensor) {
  proto.set_data_type(onnx_type(tensor.dtype()));
  for (const std::int64_t size : tensor.shape())
    proto.add_dims(size);
  std::string& raw = *proto.mutable_raw_data();
  raw.resize(static_cast<std::size_t>(tensor.elements()) * ir::size_in_bytes(tensor.dtype()));
  tensor.copy_to(std::as_writable_bytes(std::span(raw)));
}

pb::AttributeProto& add_attribute(pb::NodeProto& node, const std::string& name,
                                  pb::AttributeProto::AttributeType type) {
  pb::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

}  // namespace

NodeWriter& NodeWriter::set(const std::string& attribute, std::int64_t value) {
  add_attribute(proto_, attribute, pb::AttributeProto::INT).set_i(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, float value) {
  add_attribute(proto_, attribute, pb::AttributeProto::FLOAT).set_f(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, std::span<const std::int64_t> values) {
  pb::AttributeProto& written = add_attribute(proto_, attribute, pb::AttributeProto::INTS);
  for (const std::int64_t value : values)
    written.add_ints(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, const std::string& value) {
  add_attribute(proto_, attribute, pb::AttributeProto::STRING).set_s(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, const std::vector<float>& values) {
  pb::AttributeProto& written = add_attribute(proto_, attribute, pb::AttributeProto::FLOATS);
  for (const float value : values)
    written.add_floats(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, const std::vector<std::string>& values) {
  pb::AttributeProto& written = add_attribute(proto_, attribute, pb::AttributeProto::STRINGS);
  for (const std::string& value : values)
    written.add_strings(value);
  return *this;
}

NodeWriter& NodeWriter::set(const std::string& attribute, const ir::Tensor& value) {
  fill_tensor(*add_attribute(proto_, attribute, pb::AttributeProto::TENSOR).mutable_t(), value);
  return *this;
}

ModelWriter::ModelWriter(const ir::Graph& graph) : graph_(graph) {
  // Constants that no node reads any more (sizes that became attributes) leave their names free, so
  // that what is written in their place gets the same: a copy of a copy is the same file.
  for (const ir::Value& value : graph.values()) {
    if (!value.constant)
      value_names_.insert(value.name);
  }
  const auto take = [this](ir::ValueId id) { value_names_.insert(graph_.value(id).name); };
  std::ranges::for_each(graph.outputs, take);
  for (const ir::Node& node : graph.nodes()) {
    node_names_.insert(node.name);
    std::ranges::for_each(node.inputs, take);
  }
  find_four_bit_values();
  model_.set_producer_name("tessera");
  model_.mutable_graph()->set_name("tessera");
}

// X13. Types must agree where constants meet, so one that has to be a byte makes bytes of its
// partners.
void ModelWriter::find_four_bit_values() {
  is_four_bits_.resize(graph_.values().size());
  for (std::size_t i = 0; i < is_four_bits_.size(); ++i) {
    const auto& constant = graph_.values()[i].constant;
    is_four_bits_[i] = constant && constant->is_four_bits();
  }
  const auto lies_in_four_bits = [this](ir::ValueId id) { return is_four_bits_[id.index()]; };
  for (const ir::ValueId output : graph_.outputs)
    is_four_bits_[output.index()] = false;
  for (bool changed = true; changed;) {
    changed = false;
    for (const ir::Node& node : graph_.nodes()) {
      const auto* op = std::get_if<ir::Generic>(&node.op);
      const bool dequantizes =
          op != nullptr && op->domain.empty() && op->type == "DequantizeLinear";
      std::vector<ir::ValueId> integers = node.inputs;
      if (dequantizes)
        std::erase(integers, node.inputs.at(1));  // the scale
      if (dequantizes && std::ranges::all_of(integers, lies_in_four_bits))
        continue;
      for (const ir::ValueId id : integers) {
        changed = changed || lies_in_four_bits(id);
        is_four_bits_[id.index()] = false;
      }
    }
  }
}

std::string ModelWriter::value_name(const std::string& wish) {
  return unique_name(value_names_, wish);
}

std::string ModelWriter::node_name(const std::string& wish) {
  return unique_name(node_names_, wish);
}

std::string ModelWriter::value(ir::ValueId id) {
  const ir::Value& value = graph_.value(id);
  if (!value.constant || !written_.insert(value.name).second)
    return value.name;
  if (is_four_bits_[id.index()])
    put_four_bit_initializer(value.name, *value.constant);
  else
    put_initializer(value.name, *value.constant);
  return value.name;
}

std::string ModelWriter::add_initializer(const std::string& wish, const ir::Tensor& tensor) {
  const std::string name = value_name(wish);
  put_initializer(name, tensor);
  return name;
}

std::string ModelWriter::add_four_bit_initializer(const std::string& wish,
                                                  const ir::Tensor& tensor) {
  const std::string name = value_name(wish);
  put_four_bit_initializer(name, tensor);
  return name;
}

void ModelWriter::put_four_bit_initializer(const std::string& name, const ir::Tensor& tensor) {
  constexpr int kUint4 = 21;  // newer than the onnx.proto that Debian has
  constexpr int kInt4 = 22;
  require_opset(21);
  pb::TensorProto& proto = *model_.mutable_graph()->add_initializer();
  proto.set_name(name);
  proto.set_data_type(tensor.dtype() == ir::DType::kUint8 ? kUint4 : kInt4);
  for (const std::int64_t size : tensor.shape())
    proto.add_dims(size);
  const std::span<const std::byte> values = tensor.bytes();
  std::string packed((values.size() + 1) / 2, '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int low = std::to_integer<int>(values[i]) & 0xf;
    packed[i / 2] = static_cast<char>(packed[i / 2] | low << (i % 2 == 0 ? 0 : 4));
  }
  proto.set_raw_data(packed);
}

void ModelWriter::put_initializer(const std::string& name, const ir::Tensor& tensor) {
  pb::TensorProto& proto = *model_.mutable_graph()->add_initializer();
  proto.set_name(name);
  fill_tensor(proto, tensor);
}

NodeWriter ModelWriter::add_node(const std::string& type, const std::string& name,
                                 const std::vector<std::string>& inputs,
                                 const std::string& output) {
  return add_node(type, name, inputs, std::vector<std::string>{output}, "");
}

NodeWriter ModelWriter::add_node(const std::string& type, const std::string& name,
                                 const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs,
                                 const std::string& domain) {
  pb::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name(name);
  for (const std::string& input : inputs)
    node.add_input(input);
  for (const std::string& output : outputs)
    node.add_output(output);
  if (!domain.empty()) {
    node.set_domain(domain);
    domains_.insert(domain);
  }
  return NodeWriter(node);
}

void ModelWriter::set_metadata(const std::string& key, const std::string& value) {
  auto& entry = *model_.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

void ModelWriter::describe_value(pb::ValueInfoProto& info, ir::ValueId id) const {
  const ir::Value& value = graph_.value(id);
  info.set_name(value.name);
  auto& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx_type(value.dtype));
  TESSERA_CHECK(value.shape.has_value(), "value '{}' has no shape", value.name);
  auto& shape = *type.mutable_shape();
  for (std::size_t i = 0; i < value.shape->size(); ++i) {
    auto& dim = *shape.add_dim();
    if (i == 0 && !value.constant && graph_.batched)
      dim.set_dim_param("N");
    else
      dim.set_dim_value((*value.shape)[i]);
  }
}

std::string ModelWriter::serialize() {
  for (const Kept& kept : kept_) {
    if (ir::form_since(kept.op.type, kept.op.opset) != ir::form_since(kept.op.type, opset_))
      throw UnsupportedError(
          fmt::format("node '{}' ({}) is written for opset {} and has another form in opset {}, "
                      "which the file needs; bring the network to that opset first "
                      "(onnx.version_converter)",
                      kept.node, kept.op.type, kept.op.opset, opset_));
  }
  // The IR version that came with the opset.
  model_.set_ir_version(opset_ >= 21 ? 10 : 7);
  model_.add_opset_import()->set_version(opset_);
  for (const std::string& domain : domains_) {
    auto& opset = *model_.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(1);
  }
  for (const ir::ValueId input : graph_.inputs)
    describe_value(*model_.mutable_graph()->add_input(), input);
  for (const ir::ValueId output : graph_.outputs) {
    value(output);
    describe_value(*model_.mutable_graph()->add_output(), output);
  }
  std::string bytes;
  if (model_.ByteSizeLong() > INT32_MAX || !model_.SerializeToString(&bytes))
    throw UnsupportedError("the network is too large for one ONNX file; allowed: 2 GiB");
  return bytes;
}

}  // namespace tessera::onnx
