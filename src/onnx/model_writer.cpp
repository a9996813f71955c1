// SPDX-License-Identifier: Apache-2.0
#include "model_writer.h"

#include "tessera/core/error.h"

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

ModelWriter::ModelWriter(const ir::Graph& graph) : graph_(graph) {
  for (const ir::Value& value : graph.values())
    value_names_.insert(value.name);
  for (const ir::Node& node : graph.nodes())
    node_names_.insert(node.name);
  model_.set_producer_name("tessera");
  model_.mutable_graph()->set_name("tessera");
}

std::string ModelWriter::value_name(const std::string& wish) {
  return unique_name(value_names_, wish);
}

std::string ModelWriter::node_name(const std::string& wish) {
  return unique_name(node_names_, wish);
}

std::string ModelWriter::value(ir::ValueId id) {
  const ir::Value& value = graph_.value(id);
  if (value.constant && written_.insert(value.name).second)
    put_initializer(value.name, *value.constant);
  return value.name;
}

std::string ModelWriter::add_initializer(const std::string& wish, const ir::Tensor& tensor) {
  const std::string name = value_name(wish);
  put_initializer(name, tensor);
  return name;
}

void ModelWriter::put_initializer(const std::string& name, const ir::Tensor& tensor) {
  pb::TensorProto& proto = *model_.mutable_graph()->add_initializer();
  proto.set_name(name);
  proto.set_data_type(onnx_type(tensor.dtype()));
  for (const std::int64_t size : tensor.shape())
    proto.add_dims(size);
  proto.set_raw_data(tensor.bytes().data(), tensor.bytes().size());
}

NodeWriter ModelWriter::add_node(const std::string& type, const std::string& name,
                                 const std::vector<std::string>& inputs,
                                 const std::string& output) {
  pb::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name(name);
  for (const std::string& input : inputs)
    node.add_input(input);
  node.add_output(output);
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
    if (i == 0 && !value.constant)
      dim.set_dim_param("N");
    else
      dim.set_dim_value((*value.shape)[i]);
  }
}

std::string ModelWriter::serialize() {
  // The IR version that came with the opset.
  model_.set_ir_version(opset_ >= 21 ? 10 : 7);
  model_.add_opset_import()->set_version(opset_);
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
