// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/import.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <exception>

#include "tessera/ir/generic.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/verify.h"
#include "tessera/ir/workload.h"

#include "fold_node.h"
#include "import_ops.h"
#include "inline_functions.h"
#include "node_order.h"
#include "node_reader.h"
#include "read_tensor.h"

namespace tessera::onnx {
namespace {

using ir::ValueId;

// Thrown when the value of an input decides a size: the import starts again with these inputs as
// constants.
struct NeedsValues {
  std::set<std::string> inputs;
};

class Importer {
 public:
  // `bound`: inputs that become constants with the values that the options give.
  Importer(const std::filesystem::path& path, const ModelFile& file, const ImportOptions& options,
           bool batched, const std::set<std::string>& bound)
      : file_(file), proto_(file.model.graph()), options_(options), bound_(bound) {
    state_.graph.batched = batched;
    state_.file = path.string();
    state_.external = ExternalFiles(path.parent_path());
    state_.opset = default_opset(file.model);
    for (const auto& reader : operator_readers())
      readers_.emplace(reader.type, reader.read);
  }

  ir::Graph run() {
    for (const auto& entry : file_.model.metadata_props())
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
    for (int i = 0; i < proto_.initializer_size(); ++i) {
      const pb::TensorProto& initializer = proto_.initializer(i);
      if (initializer.name().empty())
        fail("an initializer has no name");
      state_.value_names.insert(initializer.name());
      ir::Tensor tensor;
      try {
        tensor =
            read_tensor(initializer, state_.external, file_.raw_data[static_cast<std::size_t>(i)]);
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
      const auto dtype = ir::dtype_from_onnx(type.elem_type());
      if (!dtype)
        fail("input '{}' holds {}, allowed: floats, integers, booleans", input.name(),
             onnx_type_name(type.elem_type()));
      state_.value_names.insert(input.name());
      if (bound_.contains(input.name())) {
        const ir::Tensor& value = options_.values.at(input.name());
        if (value.dtype() != *dtype)
          fail("input '{}' holds {}, its value {}", input.name(), ir::name(*dtype),
               ir::name(value.dtype()));
        define(input.name(), state_.graph.add_constant(input.name(), value));
        continue;
      }
      const auto shape = read_shape(input.name(), type, batch);
      const ValueId id =
          state_.graph.add_value({.name = input.name(), .dtype = *dtype, .shape = shape});
      define(input.name(), id);
      state_.graph.inputs.push_back(id);
    }
    state_.batch = batch.value_or(1);
  }

  // The size of a dimension, 0 when it is dynamic and not stated. Exporters write 0 for a dimension
  // that they do not know.
  std::int64_t read_size(const std::string& name, const pb::TensorShapeProto_Dimension& dim) const {
    if (dim.has_dim_value() && dim.dim_value() < 0)
      fail("input '{}' has a dimension of {}, allowed: at least 0", name, dim.dim_value());
    if (dim.has_dim_value())
      return dim.dim_value();
    const auto stated = options_.sizes.find(dim.dim_param());
    return stated == options_.sizes.end() ? 0 : stated->second;
  }

  // The input's shape; none when a dimension that is not the batch is not fixed.
  std::optional<ir::Shape> read_shape(const std::string& name, const pb::TypeProto_Tensor& type,
                                      std::optional<std::int64_t>& batch) const {
    ir::Shape shape;
    for (const auto& dim : type.shape().dim())
      shape.push_back(read_size(name, dim));
    const auto stated = options_.shapes.find(name);
    if (stated != options_.shapes.end()) {
      bool fits = !type.has_shape() || stated->second.size() == shape.size();
      for (std::size_t i = 0; fits && type.has_shape() && i < shape.size(); ++i)
        fits = shape[i] == 0 || stated->second[i] == shape[i];
      if (!fits)
        fail("input '{}' has shape {} (0: any), stated was {}", name, ir::to_string(shape),
             ir::to_string(stated->second));
      shape = stated->second;
    } else if (!type.has_shape()) {
      return std::nullopt;
    }
    if (!shape.empty() && state_.graph.batched) {
      if (shape[0] > 0) {
        if (batch.value_or(shape[0]) != shape[0])
          fail("input '{}' has batch {}, another input has {}; allowed: the same for all", name,
               shape[0], *batch);
        batch = shape[0];
      }
      shape[0] = 1;
    } else if (!shape.empty() && stated == options_.shapes.end()) {
      shape[0] = std::max<std::int64_t>(shape[0], 1);
    }
    if (stated == options_.shapes.end() && std::ranges::count(shape, 0) > 0)
      return std::nullopt;
    if (!ir::checked_element_count(shape))
      fail("input '{}' of shape {} is too large", name, ir::to_string(shape));
    return shape;
  }

  // Indices of nodes in topological order. Takes note of the names of what they make and read.
  std::vector<int> sorted_nodes() {
    std::unordered_set<std::string> made;
    for (const auto& [name, id] : state_.values)
      made.insert(name);
    for (const auto& node : proto_.node()) {
      for (const std::string& output : node.output()) {
        if (!output.empty())
          state_.value_names.insert(output);
      }
      for (const std::string& name : needs(node))
        state_.read_names.insert(name);
    }
    for (const auto& output : proto_.output())
      state_.read_names.insert(output.name());
    try {
      return topological_order(proto_, made, state_.opset);
    } catch (const ImportError& error) {
      fail("{}", error.what());
    }
  }

  void read_node(const pb::NodeProto& proto) {
    NodeReader node(state_, proto);
    try {
      if (proto.output_size() == 0)
        node.not_understood("it has no outputs");
      try {
        read_own(proto, node);
      } catch (const NotUnderstood&) {
        if (!ir::is_generic(node_domain(proto), proto.op_type()))
          throw;
        read_generic(proto, node);
      }
    } catch (const NotUnderstood& reason) {
      add_unknown(proto, reason.why);
    }
  }

  // A node that becomes operators with a struct of their own, or a constant.
  void read_own(const pb::NodeProto& proto, NodeReader& node) {
    if (proto.output(0).empty())
      node.not_understood("its first output is absent");
    if (!node_domain(proto).empty())
      node.not_understood("operators of domain {} are not supported", proto.domain());
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
  }

  // A node that is kept as ONNX defines it, or folded where all that it reads is constant.
  void read_generic(const pb::NodeProto& proto, const NodeReader& node) {
    ir::Generic op{.type = proto.op_type(), .domain = node_domain(proto), .opset = state_.opset};
    op.attributes = node.attributes();
    if (const auto misfit = ir::generic_misfit(op))
      node.not_understood("{}", *misfit);
    ir::Node kept{.name = unique_name(state_.node_names, node_name(proto)), .op = {}};
    for (int i = 0; i < proto.input_size(); ++i) {
      if (node.has_input(i)) {
        op.positions.push_back(i);
        kept.inputs.push_back(node.input(i));
      }
    }
    kept.op = std::move(op);
    int outputs = proto.output_size();
    while (outputs > 1 && proto.output(outputs - 1).empty())
      --outputs;
    const bool sized = std::ranges::all_of(
        kept.inputs, [&](ValueId id) { return state_.graph.value(id).shape.has_value(); });
    const bool constant = std::ranges::all_of(
        kept.inputs, [&](ValueId id) { return state_.graph.value(id).constant.has_value(); });
    const bool folds = constant && options_.evaluate;
    try {
      kept.outputs.resize(static_cast<std::size_t>(outputs));  // rules count them
      if (sized && !folds)
        check_kept(node, kept);
      kept.outputs.clear();
      if (folds)
        fold_generic(proto, node, kept, outputs);
      else
        add_kept(proto, node, std::move(kept), outputs);
    } catch (...) {
      state_.node_names.erase(kept.name);
      throw;
    }
  }

  void add_outputs(const pb::NodeProto& proto, ir::Graph& graph, ir::Node& node, int outputs) {
    for (int i = 0; i < outputs; ++i) {
      const std::string& name = proto.output(i);
      node.outputs.push_back(graph.add_value(
          {.name = name.empty()
                       ? unique_name(state_.value_names, fmt::format("{}_{}", proto.output(0), i))
                       : name}));
    }
  }

  void check_kept(const NodeReader& node, const ir::Node& kept) {
    ir::Graph& graph = state_.graph;
    const auto& op = std::get<ir::Generic>(kept.op);
    if (const auto needed = ir::missing_constant(graph, kept)) {
      const ValueId value = kept.inputs[*ir::find_input(op, needed->position)];
      require_values(node, value, needed->what);
    }
    if (graph.batched && !ir::keeps_batch(graph, kept))
      node.not_understood("moves or mixes the batch");
  }

  // Starts the import again with the inputs that `value` is computed from as constants, where their
  // values are given.
  void require_values(const NodeReader& node, ValueId value, const std::string& what) const {
    const ir::Graph& graph = state_.graph;
    NeedsValues needed;
    std::vector<ValueId> open{value};
    std::set<std::uint32_t> seen;
    while (!open.empty()) {
      const ValueId id = open.back();
      open.pop_back();
      if (graph.value(id).constant || !seen.insert(id.value).second)
        continue;
      if (std::ranges::find(graph.inputs, id) != graph.inputs.end())
        needed.inputs.insert(graph.value(id).name);
      else if (const auto producer = graph.producer(id))
        open.insert(open.end(), graph.node(*producer).inputs.begin(),
                    graph.node(*producer).inputs.end());
    }
    const bool given = !needed.inputs.empty() && options_.evaluate &&
                       std::ranges::all_of(needed.inputs, [&](const std::string& name) {
                         return options_.values.contains(name);
                       });
    if (!given)
      node.not_understood("its {} '{}' is not a constant", what, graph.value(value).name);
    throw needed;
  }

  void add_kept(const pb::NodeProto& proto, const NodeReader& node, ir::Node kept, int outputs) {
    add_outputs(proto, state_.graph, kept, outputs);
    const std::vector<ValueId> made = kept.outputs;
    const ir::NodeId id = state_.graph.add_node(std::move(kept));
    for (int i = 0; i < outputs; ++i) {
      if (!proto.output(i).empty())
        define(proto.output(i), made[static_cast<std::size_t>(i)]);
    }
    if (const auto misfit = ir::try_infer_node(state_.graph, id))
      node.fail("{}", *misfit);
  }

  void fold_generic(const pb::NodeProto& proto, const NodeReader& node, const ir::Node& kept,
                    int outputs) {
    ir::Graph scratch;
    scratch.batched = false;
    ir::Node copy{.name = kept.name, .op = kept.op};
    for (const ValueId id : kept.inputs) {
      const ir::Value& value = state_.graph.value(id);
      copy.inputs.push_back(scratch.add_constant(value.name, *value.constant));
    }
    add_outputs(proto, scratch, copy, outputs);
    const ir::NodeId id = scratch.add_node(std::move(copy));
    if (!ir::sizes_depend_on_values(std::get<ir::Generic>(kept.op))) {
      if (const auto misfit = ir::try_infer_node(scratch, id))
        node.fail("{}", *misfit);
      for (const ValueId output : scratch.node(id).outputs) {
        const ir::Shape& shape = *scratch.value(output).shape;
        if (ir::element_count(shape) > kMostFolded)
          node.not_understood("a constant of shape {} is too large to fold", ir::to_string(shape));
      }
    }
    std::vector<ir::Tensor> values;
    try {
      values = options_.evaluate(scratch, scratch.node(id));
    } catch (const Error& error) {
      node.fail("{}", error.what());
    }
    for (int i = 0; i < outputs; ++i) {
      if (!proto.output(i).empty())
        define(proto.output(i),
               state_.graph.add_constant(proto.output(i), values[static_cast<std::size_t>(i)]));
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

  const ModelFile& file_;
  const pb::GraphProto& proto_;
  const ImportOptions& options_;
  const std::set<std::string>& bound_;
  ImportState state_;
  std::unordered_map<std::string_view, ReadNode> readers_;
};

ir::Graph import_in_file(const std::filesystem::path& path, const ImportOptions& options) {
  ModelFile file = read_model(path);
  try {
    inline_functions(file.model);
  } catch (const ImportError& error) {
    throw ImportError(fmt::format("{}: {}", path.string(), error.what()));
  }
  std::set<std::string> bound;
  const auto read = [&](bool batched) {
    while (true) {
      try {
        return Importer(path, file, options, batched, bound).run();
      } catch (const NeedsValues& needed) {
        bound.insert(needed.inputs.begin(), needed.inputs.end());
      }
    }
  };
  const auto unknown = [](const ir::Graph& graph) { return ir::unknown_operators(graph).size(); };
  // Values that are given belong to one batch.
  if (!options.values.empty())
    return read(false);
  std::optional<ir::Graph> batched;
  std::exception_ptr error;
  try {
    batched = read(true);
    if (unknown(*batched) == 0)
      return *std::move(batched);
  } catch (const ImportError&) {
    error = std::current_exception();
  }
  try {
    ir::Graph fixed = read(false);
    if (!batched || unknown(fixed) < unknown(*batched))
      return fixed;
  } catch (const ImportError&) {
    if (error)
      std::rethrow_exception(error);
  }
  return *std::move(batched);
}

void load_constants(const ir::Graph& graph) {
  for (const ir::Value& value : graph.values()) {
    if (value.constant)
      (void)value.constant->bytes();
  }
  for (const ir::Node& node : graph.nodes()) {
    const auto* op = std::get_if<ir::Generic>(&node.op);
    if (op == nullptr)
      continue;
    for (const auto& [name, attribute] : op->attributes) {
      if (const auto* tensor = std::get_if<ir::Tensor>(&attribute))
        (void)tensor->bytes();
    }
  }
}

}  // namespace

ir::Graph import_onnx(const std::filesystem::path& path, const ImportOptions& options) {
  ir::Graph graph = import_in_file(path, options);
  if (options.constants == Constants::kInMemory)
    load_constants(graph);
  return graph;
}

}  // namespace tessera::onnx
