// SPDX-License-Identifier: Apache-2.0
#include "node_reader.h"

namespace tessera::onnx {

using pb::AttributeProto;

std::string unique_name(std::unordered_set<std::string>& taken, const std::string& wish) {
  std::string name = wish;
  for (int i = 1; name.empty() || !taken.insert(name).second; ++i)
    name = fmt::format("{}_{}", wish, i);
  return name;
}

std::optional<std::vector<std::int64_t>> to_integers(const ir::Tensor& tensor) {
  if (tensor.dtype() == ir::DType::kInt64)
    return std::vector(tensor.values<std::int64_t>().begin(), tensor.values<std::int64_t>().end());
  if (tensor.dtype() == ir::DType::kInt32) {
    return std::vector<std::int64_t>(tensor.values<std::int32_t>().begin(),
                                     tensor.values<std::int32_t>().end());
  }
  return std::nullopt;
}

std::string node_name(const pb::NodeProto& node) {
  if (!node.name().empty() || node.output_size() == 0)
    return node.name().empty() ? node.op_type() : node.name();
  return node.output(0);
}

std::string node_domain(const pb::NodeProto& node) {
  return node.domain() == "ai.onnx" ? "" : node.domain();
}

std::string describe(const pb::NodeProto& node) {
  if (!node.name().empty() || node.output_size() == 0)
    return fmt::format("node '{}'", node.name());
  return fmt::format("the node that makes '{}'", node.output(0));
}

const AttributeProto* NodeReader::find(const std::string& attribute) const {
  for (const AttributeProto& found : proto_.attribute()) {
    if (found.name() == attribute)
      return &found;
  }
  return nullptr;
}

const AttributeProto* NodeReader::find(const std::string& attribute, int type) {
  known_.insert(attribute);
  const AttributeProto* found = find(attribute);
  if (found != nullptr && found->type() != type) {
    fail("attribute {} is of type {}, allowed: {}", attribute,
         AttributeProto::AttributeType_Name(found->type()),
         AttributeProto::AttributeType_Name(static_cast<AttributeProto::AttributeType>(type)));
  }
  return found;
}

std::int64_t NodeReader::integer(const std::string& attribute, std::int64_t fallback) {
  const AttributeProto* found = find(attribute, AttributeProto::INT);
  return found != nullptr ? found->i() : fallback;
}

float NodeReader::real(const std::string& attribute, float fallback) {
  const AttributeProto* found = find(attribute, AttributeProto::FLOAT);
  return found != nullptr ? found->f() : fallback;
}

std::string NodeReader::text(const std::string& attribute, const std::string& fallback) {
  const AttributeProto* found = find(attribute, AttributeProto::STRING);
  return found != nullptr ? found->s() : fallback;
}

std::optional<std::vector<std::int64_t>> NodeReader::integers(const std::string& attribute) {
  const AttributeProto* found = find(attribute, AttributeProto::INTS);
  if (found == nullptr)
    return std::nullopt;
  return std::vector<std::int64_t>(found->ints().begin(), found->ints().end());
}

std::optional<std::vector<float>> NodeReader::reals(const std::string& attribute) {
  const AttributeProto* found = find(attribute, AttributeProto::FLOATS);
  if (found == nullptr)
    return std::nullopt;
  return std::vector<float>(found->floats().begin(), found->floats().end());
}

std::optional<ir::Tensor> NodeReader::tensor(const std::string& attribute) {
  const AttributeProto* found = find(attribute, AttributeProto::TENSOR);
  if (found == nullptr)
    return std::nullopt;
  try {
    return read_tensor(found->t(), state_.external);
  } catch (const ImportError& error) {
    fail("attribute {}: {}", attribute, error.what());
  }
}

std::array<std::int64_t, 2> NodeReader::pair(const std::string& attribute, std::int64_t fallback) {
  const auto list = integers(attribute).value_or(std::vector<std::int64_t>(2, fallback));
  if (list.size() != 2)
    not_understood("attribute {} for {} spatial dimensions, supported: 2", attribute, list.size());
  return {list[0], list[1]};
}

std::array<std::int64_t, 4> NodeReader::four(const std::string& attribute) {
  const auto list = integers(attribute).value_or(std::vector<std::int64_t>(4, 0));
  if (list.size() != 4) {
    not_understood("attribute {} for {} spatial dimensions, supported: 2", attribute,
                   list.size() / 2);
  }
  return {list[0], list[1], list[2], list[3]};
}

namespace {

ir::Attribute read_attribute(const NodeReader& node, const AttributeProto& proto,
                             ExternalFiles& external) {
  switch (proto.type()) {
    case AttributeProto::INT:
      return proto.i();
    case AttributeProto::FLOAT:
      return proto.f();
    case AttributeProto::STRING:
      return proto.s();
    case AttributeProto::INTS:
      return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
    case AttributeProto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case AttributeProto::TENSOR:
      try {
        return read_tensor(proto.t(), external);
      } catch (const ImportError& error) {
        node.fail("attribute {}: {}", proto.name(), error.what());
      }
    default:
      node.not_understood("attribute {} not supported", proto.name());
  }
}

}  // namespace

std::map<std::string, ir::Attribute> NodeReader::attributes() const {
  std::map<std::string, ir::Attribute> all;
  for (const AttributeProto& attribute : proto_.attribute())
    all.emplace(attribute.name(), read_attribute(*this, attribute, state_.external));
  return all;
}

void NodeReader::refuse_other_attributes() const {
  for (const AttributeProto& attribute : proto_.attribute()) {
    if (!known_.contains(attribute.name()))
      not_understood("attribute {} not supported", attribute.name());
  }
}

ir::ValueId NodeReader::input(int i) const {
  if (!has_input(i))
    fail("input {} is missing; there are {}", i, proto_.input_size());
  return state_.values.at(proto_.input(i));
}

const ir::Shape* NodeReader::known_shape(int i) const {
  const auto& shape = value(i).shape;
  return shape ? &*shape : nullptr;
}

const ir::Shape& NodeReader::shape(int i) const {
  const ir::Shape* known = known_shape(i);
  if (known == nullptr)
    not_understood("the shape of '{}' is not known", value(i).name);
  return *known;
}

ir::Shape NodeReader::file_shape(int i) const {
  ir::Shape file = shape(i);
  if (state_.graph.batched && !is_constant(i) && !file.empty())
    file[0] = state_.batch;
  return file;
}

const ir::Tensor& NodeReader::constant(int i, std::string_view what) const {
  if (!is_constant(i))
    not_understood("{} '{}' is not a constant", what, value(i).name);
  return *value(i).constant;
}

std::vector<std::int64_t> NodeReader::constant_integers(int i, std::string_view what) const {
  const auto list = to_integers(constant(i, what));
  if (!list)
    fail("{} '{}' holds {}, allowed: int64", what, value(i).name, ir::name(value(i).dtype));
  return *list;
}

float NodeReader::constant_float(int i, std::string_view what) const {
  const ir::Tensor& tensor = constant(i, what);
  if (tensor.dtype() != ir::DType::kFloat32 || tensor.elements() != 1) {
    fail("{} '{}' holds {} {}, allowed: one float", what, value(i).name, tensor.elements(),
         ir::name(tensor.dtype()));
  }
  return tensor.values<float>()[0];
}

std::optional<std::vector<std::int64_t>> NodeReader::integers_from(const std::string& attribute,
                                                                   int i) {
  if (const auto list = integers(attribute))
    return list;
  if (!has_input(i))
    return std::nullopt;
  return constant_integers(i, attribute);
}

ir::ValueId NodeReader::add_constant(const std::string& wish, ir::Tensor tensor) {
  return state_.graph.add_constant(unique_name(state_.value_names, wish), std::move(tensor));
}

void NodeReader::require_only_first_output() const {
  for (int i = 1; i < proto_.output_size(); ++i) {
    if (!proto_.output(i).empty() && state_.read_names.contains(proto_.output(i)))
      not_understood("its output '{}' is read, supported: the first alone", proto_.output(i));
  }
}

void NodeReader::throw_import_error(const std::string& what) const {
  throw ImportError(fmt::format("{}: {} ({}, opset {}): {}", state_.file, describe(proto_), type(),
                                state_.opset, what));
}

}  // namespace tessera::onnx
