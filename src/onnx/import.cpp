// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/import.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "tessera/ir/passes.h"
#include "tessera/ir/verify.h"

#include "fold_node.h"
#include "import_ops.h"
#include "node_reader.h"
#include "read_tensor.h"

namespace tessera::onnx {
namespace {

using ir::ValueId;

// Names that a subgraph (of If, Loop, Scan) reads from outside itself.
void collect_captured(const pb::GraphProto& graph, std::set<std::string>& captured) {
  std::set<std::string> local;
  for (const auto& input : graph.input())
    local.insert(input.name());
  for (const auto& initializer : graph.initializer())
    local.insert(initializer.name());
  for (const auto& node : graph.node())
    local.insert(node.output().begin(), node.output().end());
  std::set<std::string> read;
  for (const auto& node : graph.node()) {
    read.insert(node.input().begin(), node.input().end());
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g())
        collect_captured(attribute.g(), read);
      for (const auto& inner : attribute.graphs())
        collect_captured(inner, read);
    }
  }
  for (const auto& output : graph.output())
    read.insert(output.name());
  std::ranges::set_difference(read, local, std::inserter(captured, captured.end()));
}

// What the node needs to be there: its inputs and what its subgraphs capture, without absent ones.
std::vector<std::string> needs(const pb::NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& input : node.input()) {
    if (!input.empty())
      names.push_back(input);
  }
  std::set<std::string> captured;
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g())
      collect_captured(attribute.g(), captured);
    for (const auto& graph : attribute.graphs())
      collect_captured(graph, captured);
  }
  captured.erase("");
  names.insert(names.end(), captured.begin(), captured.end());
  return names;
}

class Importer {
 public:
  Importer(const std::filesystem::path& path, const pb::ModelProto& model)
      : model_(model), proto_(model.graph()) {
    state_.file = path.string();
    state_.folder = path.parent_path();
    state_.opset = default_opset(model);
    for (const auto& reader : operator_readers())
      readers_.emplace(reader.type, reader.read);
  }

  ir::Graph run() {
    for (const auto& entry : model_.metadata_props())
      state_.graph.metadata[entry.key()] = entry.value();
    read_initializers();
    read_inputs();
    for (const int index : sorted_nodes())
      read_node(proto_.node(index));
    read_outputs();
    ir::check_verified(state_.graph, "import");
    return std::move(state_.graph);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) const {
    throw ImportError(state_.file + ": " + fmt::format(text, std::forward<Args>(args)...));
  }

  void define(const std::string& name, ValueId id) {
    if (!state_.values.emplace(name, id).second)
      fail("value '{}' is made twice", name);
  }

  void read_initializers() {
    if (proto_.sparse_initializer_size() > 0)
      fail("sparse initializers are not supported; allowed: dense ones");
    for (const auto& initializer : proto_.initializer()) {
      if (initializer.name().empty())
        fail("an initializer has no name");
      state_.value_names.insert(initializer.name());
      ir::Tensor tensor;
      try {
        tensor = read_tensor(initializer, state_.folder);
      } catch (const ImportError& error) {
        fail("initializer '{}': {}", initializer.name(), error.what());
      }
      define(initializer.name(), state_.graph.add_constant(initializer.name(), std::move(tensor)));
    }
  }

  void read_inputs() {
    std::optional<std::int64_t> batch;
    for (const auto& input : proto_.input()) {
      // Older files list initializers among the inputs, as defaults.
      if (state_.values.contains(input.name()) &&
          state_.graph.value(state_.values.at(input.name())).constant)
        continue;
      if (input.name().empty())
        fail("an input has no name");
      if (!input.type().has_tensor_type())
        fail("input '{}' is not a tensor", input.name());
      const auto& type = input.type().tensor_type();
      const auto dtype = held_type(type.elem_type());
      if (!dtype)
        fail("input '{}' holds {}, allowed: floats, integers, booleans", input.name(),
             onnx_type_name(type.elem_type()));
      const auto shape = read_shape(input.name(), type, batch);
      state_.value_names.insert(input.name());
      const ValueId id =
          state_.graph.add_value({.name = input.name(), .dtype = *dtype, .shape = shape});
      define(input.name(), id);
      state_.graph.inputs.push_back(id);
    }
    state_.batch = batch.value_or(1);
  }

  // The input's shape with batch 1; none when another dimension is not fixed.
  std::optional<ir::Shape> read_shape(const std::string& name, const pb::TypeProto_Tensor& type,
                                      std::optional<std::int64_t>& batch) const {
    if (!type.has_shape())
      return std::nullopt;
    ir::Shape shape;
    bool fixed = true;
    for (const auto& dim : type.shape().dim()) {
      const bool is_batch = shape.empty();
      if (dim.has_dim_value() && dim.dim_value() < 0)
        fail("input '{}' has a dimension of {}, allowed: at least 0", name, dim.dim_value());
      // Exporters write 0 for a dimension that they do not know.
      const bool known = dim.has_dim_value() && dim.dim_value() > 0;
      if (is_batch && known) {
        if (batch.value_or(dim.dim_value()) != dim.dim_value())
          fail("input '{}' has batch {}, another input has {}; allowed: the same for all", name,
               dim.dim_value(), *batch);
        batch = dim.dim_value();
      }
      fixed = fixed && (is_batch || known);
      shape.push_back(is_batch ? 1 : dim.dim_value());
    }
    if (!fixed)
      return std::nullopt;
    if (!ir::checked_element_count(shape))
      fail("input '{}' of shape {} is too large", name, ir::to_string(shape));
    return shape;
  }

  // Indices of nodes in topological order; among those that are ready, the order of the file.
  std::vector<int> sorted_nodes() {
    std::unordered_map<std::string, int> maker;
    for (int i = 0; i < proto_.node_size(); ++i) {
      for (const std::string& output : proto_.node(i).output()) {
        if (output.empty())
          continue;
        state_.value_names.insert(output);
        if (state_.values.contains(output) || !maker.emplace(output, i).second)
          fail("value '{}' is made twice, the second time by {} ({})", output,
               describe(proto_.node(i)), proto_.node(i).op_type());
      }
    }
    std::vector<int> missing(static_cast<std::size_t>(proto_.node_size()));
    std::vector<std::vector<int>> waiting(missing.size());
    for (int i = 0; i < proto_.node_size(); ++i) {
      for (const std::string& name : needs(proto_.node(i))) {
        state_.read_names.insert(name);
        if (state_.values.contains(name))
          continue;
        const auto made = maker.find(name);
        if (made == maker.end())
          fail(
              "{} ({}, opset {}) reads '{}', which is not an input, an initializer or a node's "
              "output",
              describe(proto_.node(i)), proto_.node(i).op_type(), state_.opset, name);
        waiting[static_cast<std::size_t>(made->second)].push_back(i);
        ++missing[static_cast<std::size_t>(i)];
      }
    }
    for (const auto& output : proto_.output())
      state_.read_names.insert(output.name());
    return by_readiness(std::move(missing), waiting);
  }

  std::vector<int> by_readiness(std::vector<int> missing,
                                const std::vector<std::vector<int>>& waiting) const {
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (std::size_t i = 0; i < missing.size(); ++i) {
      if (missing[i] == 0)
        ready.push(static_cast<int>(i));
    }
    std::vector<int> order;
    while (!ready.empty()) {
      const int next = ready.top();
      ready.pop();
      order.push_back(next);
      for (const int reader : waiting[static_cast<std::size_t>(next)]) {
        if (--missing[static_cast<std::size_t>(reader)] == 0)
          ready.push(reader);
      }
    }
    if (order.size() < missing.size()) {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < missing.size() && names.size() < 5; ++i) {
        if (missing[i] > 0)
          names.push_back(describe(proto_.node(static_cast<int>(i))));
      }
      fail("nodes depend on themselves: {}", fmt::join(names, ", "));
    }
    return order;
  }

  void read_node(const pb::NodeProto& proto) {
    NodeReader node(state_, proto);
    const bool own = proto.domain().empty() || proto.domain() == "ai.onnx";
    try {
      if (!own)
        node.not_understood("operators of domain {} are not supported", proto.domain());
      if (proto.output_size() == 0 || proto.output(0).empty())
        node.not_understood("its first output is absent");
      if (const auto constant = fold_node(node)) {
        add_folded(proto, *constant);
        return;
      }
      const auto reader = readers_.find(proto.op_type());
      if (reader == readers_.end())
        node.not_understood("operator not supported");
      const std::vector<ImportStep> steps = reader->second(node);
      node.refuse_other_attributes();
      if (const auto constant = fold_step(node, steps)) {
        add_folded(proto, *constant);
        return;
      }
      require_floats(node, steps);
      add_steps(proto, node, steps);
    } catch (const NotUnderstood& reason) {
      add_unknown(proto, reason.why);
    }
  }

  void add_folded(const pb::NodeProto& proto, ir::Tensor tensor) {
    define(proto.output(0), state_.graph.add_constant(proto.output(0), std::move(tensor)));
  }

  // The value of a single step whose inputs are all constants, where we can evaluate it.
  std::optional<ir::Tensor> fold_step(const NodeReader& node,
                                      const std::vector<ImportStep>& steps) const {
    if (steps.size() != 1)
      return std::nullopt;
    ir::Graph scratch;
    std::vector<ir::Tensor> inputs;
    ir::Node step{.name = "fold", .op = steps[0].op};
    for (const ValueId id : steps[0].inputs) {
      const ir::Value& value = state_.graph.value(id);
      if (!value.constant)
        return std::nullopt;
      inputs.push_back(*value.constant);
      step.inputs.push_back(scratch.add_constant(value.name, *value.constant));
    }
    const ValueId output = scratch.add_value({.name = "folded"});
    step.outputs = {output};
    if (const auto misfit = ir::try_infer_node(scratch, scratch.add_node(step)))
      node.fail("{}", *misfit);
    const ir::Shape& shape = *scratch.value(output).shape;
    if (ir::element_count(shape) > kMostFolded)
      node.not_understood("a constant of shape {} is too large to fold", ir::to_string(shape));
    return ir::evaluate(step.op, inputs, shape);
  }

  // Arithmetic on integers that is not constant is nothing that we can map.
  void require_floats(const NodeReader& node, const std::vector<ImportStep>& steps) const {
    for (const ImportStep& step : steps) {
      const auto* unary = std::get_if<ir::Unary>(&step.op);
      if (std::holds_alternative<ir::Flatten>(step.op) ||
          std::holds_alternative<ir::Reshape>(step.op) ||
          std::holds_alternative<ir::Concat>(step.op) ||
          (unary != nullptr && unary->kind == ir::UnaryKind::kIdentity))
        continue;
      for (const ValueId id : step.inputs) {
        if (id.valid() && state_.graph.value(id).dtype != ir::DType::kFloat32)
          node.not_understood("input '{}' holds {}, supported: floats", state_.graph.value(id).name,
                              ir::name(state_.graph.value(id).dtype));
      }
    }
  }

  void add_steps(const pb::NodeProto& proto, const NodeReader& node,
                 const std::vector<ImportStep>& steps) {
    ValueId last;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      std::vector<ValueId> inputs = steps[i].inputs;
      std::ranges::replace_if(
          inputs, [](ValueId id) { return !id.valid(); }, last);
      const bool is_last = i + 1 == steps.size();
      const std::string output =
          is_last ? proto.output(0)
                  : unique_name(state_.value_names, fmt::format("{}_{}", proto.output(0), i));
      const std::string wish = node_name(proto);
      const std::string name = unique_name(
          state_.node_names, i == 0 ? wish : fmt::format("{}/{}", wish, ir::name(steps[i].op)));
      last = state_.graph.add_value({.name = output});
      const ir::NodeId id = state_.graph.add_node({name, steps[i].op, std::move(inputs), {last}});
      if (const auto misfit = ir::try_infer_node(state_.graph, id))
        node.fail("{}", *misfit);
    }
    define(proto.output(0), last);
  }

  static std::string node_name(const pb::NodeProto& proto) {
    if (!proto.name().empty() || proto.output_size() == 0)
      return proto.name().empty() ? proto.op_type() : proto.name();
    return proto.output(0);
  }

  void add_unknown(const pb::NodeProto& proto, const std::string& why) {
    ir::Node node{.name = unique_name(state_.node_names, node_name(proto)),
                  .op = ir::Unknown{proto.domain(), proto.op_type(), why}};
    for (const std::string& input : needs(proto))
      node.inputs.push_back(state_.values.at(input));
    for (const std::string& output : proto.output()) {
      if (output.empty())
        continue;
      node.outputs.push_back(state_.graph.add_value({.name = output}));
      define(output, node.outputs.back());
    }
    state_.graph.add_node(std::move(node));
  }

  void read_outputs() {
    if (proto_.output_size() == 0)
      fail("the graph has no outputs");
    for (const auto& output : proto_.output()) {
      const auto found = state_.values.find(output.name());
      if (found == state_.values.end())
        fail("output '{}' is not made by any node", output.name());
      state_.graph.outputs.push_back(found->second);
    }
  }

  const pb::ModelProto& model_;
  const pb::GraphProto& proto_;
  ImportState state_;
  std::unordered_map<std::string_view, ReadNode> readers_;
};

}  // namespace

ir::Graph import_onnx(const std::filesystem::path& path) {
  const pb::ModelProto model = read_model(path);
  return Importer(path, model).run();
}

}  // namespace tessera::onnx
