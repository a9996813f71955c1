// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/passes.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "tessera/ir/verify.h"

namespace tessera::ir {
namespace {

// Edits a graph in place and rebuilds it at the end without what was removed: nodes by mark, values
// when nothing names them any more.
class Editor {
 public:
  explicit Editor(Graph graph)
      : graph_(std::move(graph)),
        removed_(graph_.nodes().size()),
        producers_(graph_.values().size()),
        readers_(graph_.values().size()),
        forward_(graph_.values().size()) {
    for (const Value& value : graph_.values())
      names_.insert(value.name);
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      for (const ValueId output : graph_.nodes()[i].outputs)
        producers_[output.index()] = NodeId{i};
      for (const ValueId input : graph_.nodes()[i].inputs)
        ++readers_[input.index()];
    }
    for (const ValueId output : graph_.outputs)
      ++readers_[output.index()];
  }

  Graph& graph() { return graph_; }
  // Nodes that read the value, and the graph's outputs that are it.
  std::size_t readers(ValueId id) const { return readers_[id.index()]; }
  NodeId producer(ValueId id) const { return producers_[id.index()]; }
  bool is_output(ValueId id) const {
    return std::ranges::find(graph_.outputs, id) != graph_.outputs.end();
  }

  void remove(NodeId id) { removed_[id.index()] = true; }
  bool removed(NodeId id) const { return removed_[id.index()]; }

  // `node` makes `value` from now on, in place of its own output.
  void redirect_output(NodeId node, ValueId value) {
    graph_.node(node).outputs = {value};
    producers_[value.index()] = node;
  }
  // Whoever reads `from` reads `to` from now on.
  void replace(ValueId from, ValueId to) { forward_[from.index()] = to; }
  // What replace() has put in the place of a value.
  ValueId resolve(ValueId id) const {
    while (forward_[id.index()].valid())
      id = forward_[id.index()];
    return id;
  }

  // `tensor` in place of the constant that `node` alone reads; beside it when others read it too.
  ValueId change_constant(ValueId old, Tensor tensor) {
    if (readers(old) > 1)
      return add_constant(graph_.value(old).name, std::move(tensor));
    Value& value = graph_.value(old);
    value.shape = tensor.shape();
    value.constant = std::move(tensor);
    return old;
  }
  ValueId add_constant(const std::string& wish, Tensor tensor) {
    std::string name = wish;
    for (int i = 1; !names_.insert(name).second; ++i)
      name = fmt::format("{}.{}", wish, i);
    producers_.emplace_back();
    readers_.push_back(1);
    forward_.emplace_back();
    return graph_.add_constant(std::move(name), std::move(tensor));
  }

  Graph finish() const {
    Graph result;
    result.metadata = graph_.metadata;
    result.batched = graph_.batched;
    std::vector<bool> used(graph_.values().size());
    const auto use = [&](const std::vector<ValueId>& ids) {
      for (const ValueId id : ids)
        used[resolve(id).index()] = true;
    };
    use(graph_.inputs);
    use(graph_.outputs);
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      if (!removed_[i]) {
        use(graph_.nodes()[i].inputs);
        use(graph_.nodes()[i].outputs);
      }
    }
    std::vector<ValueId> renumbered(graph_.values().size());
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (used[i])
        renumbered[i] = result.add_value(graph_.values()[i]);
    }
    const auto renumber = [&](std::vector<ValueId> ids) {
      for (ValueId& id : ids)
        id = renumbered[resolve(id).index()];
      return ids;
    };
    result.inputs = renumber(graph_.inputs);
    result.outputs = renumber(graph_.outputs);
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (!removed_[i])
        result.add_node({node.name, node.op, renumber(node.inputs), renumber(node.outputs)});
    }
    return result;
  }

 private:
  Graph graph_;
  std::vector<bool> removed_;         // by node
  std::vector<NodeId> producers_;     // by value
  std::vector<std::size_t> readers_;  // by value
  std::vector<ValueId> forward_;      // by value
  std::unordered_set<std::string> names_;
};

const Tensor& constant(const Graph& graph, ValueId id) {
  return *graph.value(id).constant;
}

bool has_shape(const Graph& graph, ValueId id, std::size_t rank) {
  return graph.value(id).shape && graph.value(id).shape->size() == rank;
}

// The layer whose output the node reads as `input`, if nobody else does.
std::optional<NodeId> only_reader_of_layer(Editor& editor, ValueId input) {
  const NodeId producer = editor.producer(input);
  if (!producer.valid() || editor.readers(input) != 1 ||
      !is_layer(editor.graph().node(producer).op))
    return std::nullopt;
  return producer;
}

// The constant's elements as one per output channel of a layer whose output is `y`, or none.
bool is_per_channel(const Tensor& tensor, const Op& layer, const Shape& y) {
  const bool conv = std::holds_alternative<Conv>(layer);
  const std::size_t behind = conv ? 2 : 0;  // dimensions behind the channels
  const std::int64_t channels = conv ? y[1] : y.back();
  if (tensor.dtype() != DType::kFloat32 || tensor.elements() != channels ||
      tensor.shape().size() <= behind)
    return false;
  return tensor.shape()[tensor.shape().size() - 1 - behind] == channels;
}

void fold_into(Editor& editor, NodeId layer_id, const BatchNorm& norm,
               const std::vector<ValueId>& parameters) {
  Graph& graph = editor.graph();
  const auto gamma = constant(graph, parameters[1]).values<float>();
  const auto beta = constant(graph, parameters[2]).values<float>();
  const auto mean = constant(graph, parameters[3]).values<float>();
  const auto var = constant(graph, parameters[4]).values<float>();
  const auto epsilon = static_cast<float>(norm.epsilon);

  std::vector<ValueId> inputs = graph.node(layer_id).inputs;
  const Tensor old_weight = constant(graph, inputs[1]);
  const auto weight = old_weight.values<float>();
  std::vector<float> new_weight(weight.begin(), weight.end());
  std::vector<float> bias(gamma.size(), 0.0F);
  if (inputs.size() > 2)
    std::ranges::copy(constant(graph, inputs[2]).values<float>(), bias.begin());

  const std::size_t per_channel = weight.size() / std::max<std::size_t>(gamma.size(), 1);
  for (std::size_t m = 0; m < gamma.size(); ++m) {
    const float k = gamma[m] / std::sqrt(var[m] + epsilon);
    for (std::size_t i = 0; i < per_channel; ++i)
      new_weight[m * per_channel + i] *= k;
    bias[m] = (bias[m] - mean[m]) * k + beta[m];
  }
  inputs[1] = editor.change_constant(inputs[1], Tensor::from(old_weight.shape(), new_weight));
  Tensor new_bias = Tensor::from({static_cast<std::int64_t>(bias.size())}, bias);
  if (inputs.size() > 2)
    inputs[2] = editor.change_constant(inputs[2], std::move(new_bias));
  else
    inputs.push_back(
        editor.add_constant(graph.value(inputs[1]).name + "_bias", std::move(new_bias)));
  graph.node(layer_id).inputs = std::move(inputs);
}

}  // namespace

Graph fold_constants(Graph graph) {
  Editor editor(std::move(graph));
  Graph& g = editor.graph();
  for (std::uint32_t i = 0; i < g.nodes().size(); ++i) {
    const Node& node = g.node({i});
    std::vector<Tensor> inputs;
    for (const ValueId input : node.inputs) {
      if (g.value(input).constant)
        inputs.push_back(constant(g, input));
    }
    if (inputs.empty() || inputs.size() != node.inputs.size() || node.outputs.size() != 1)
      continue;
    Value& output = g.value(node.outputs[0]);
    if (auto result = evaluate(node.op, inputs, output.shape.value_or(Shape{}))) {
      output.constant = std::move(*result);
      editor.remove({i});
    }
  }
  return editor.finish();
}

Graph fuse_bias(Graph graph) {
  Editor editor(std::move(graph));
  Graph& g = editor.graph();
  for (std::uint32_t i = 0; i < g.nodes().size(); ++i) {
    const Node& add = g.node({i});
    const auto* binary = std::get_if<Binary>(&add.op);
    if (binary == nullptr || binary->kind != BinaryKind::kAdd)
      continue;
    for (const std::size_t side : {0U, 1U}) {
      const ValueId addend = add.inputs[1 - side];
      const auto layer = only_reader_of_layer(editor, add.inputs[side]);
      const auto& made = g.value(add.inputs[side]).shape;  // none behind what is not understood
      if (!layer || !made || !g.value(addend).constant || g.node(*layer).inputs.size() > 2 ||
          !is_per_channel(constant(g, addend), g.node(*layer).op, *made))
        continue;
      const Tensor tensor = constant(g, addend);
      const Tensor bias = Tensor::from({tensor.elements()}, tensor.values<float>());
      g.node(*layer).inputs.push_back(editor.change_constant(addend, bias));
      editor.remove({i});
      editor.redirect_output(*layer, add.outputs[0]);
      break;
    }
  }
  return editor.finish();
}

Graph fold_batch_norm(Graph graph) {
  Editor editor(std::move(graph));
  Graph& g = editor.graph();
  for (std::uint32_t i = 0; i < g.nodes().size(); ++i) {
    const Node norm = g.node({i});
    const auto* op = std::get_if<BatchNorm>(&norm.op);
    if (op == nullptr)
      continue;
    const auto layer = only_reader_of_layer(editor, norm.inputs[0]);
    // Without sizes nobody has checked that the layer's channels are the parameters'.
    if (!layer || !g.value(norm.inputs[0]).shape)
      continue;
    // Behind a Linear, axis 1 is the output channel only when there is no axis between.
    const bool conv = std::holds_alternative<Conv>(g.node(*layer).op);
    if (!conv && !has_shape(g, norm.inputs[0], 2))
      continue;
    fold_into(editor, *layer, *op, norm.inputs);
    editor.remove({i});
    editor.redirect_output(*layer, norm.outputs[0]);
  }
  return editor.finish();
}

Graph merge_reshapes(Graph graph) {
  Editor editor(std::move(graph));
  Graph& g = editor.graph();
  const auto reshapes = [&](NodeId id) {
    return id.valid() && (std::holds_alternative<Flatten>(g.node(id).op) ||
                          std::holds_alternative<Reshape>(g.node(id).op));
  };
  for (std::uint32_t i = 0; i < g.nodes().size(); ++i) {
    if (!reshapes({i}))
      continue;
    ValueId& input = g.node({i}).inputs[0];
    if (reshapes(editor.producer(input)))
      input = g.node(editor.producer(input)).inputs[0];
  }
  return editor.finish();
}

Graph remove_dead(Graph graph) {
  Editor editor(std::move(graph));
  Graph& g = editor.graph();
  for (std::uint32_t i = 0; i < g.nodes().size(); ++i) {
    const Node node = g.node({i});
    const auto* unary = std::get_if<Unary>(&node.op);
    if (unary == nullptr || unary->kind != UnaryKind::kIdentity)
      continue;
    const ValueId from = editor.resolve(node.inputs[0]);
    const ValueId to = node.outputs[0];
    if (!editor.is_output(to)) {
      editor.remove({i});
      editor.replace(to, from);
    } else if (editor.producer(from).valid() && !editor.is_output(from) &&
               g.node(editor.producer(from)).outputs.size() == 1) {
      // The output keeps its name: the producer makes it instead.
      editor.remove({i});
      editor.redirect_output(editor.producer(from), to);
      editor.replace(from, to);
    }
  }
  Graph without = editor.finish();

  Editor sweep(std::move(without));
  std::vector<bool> needed(sweep.graph().values().size());
  for (const ValueId output : sweep.graph().outputs)
    needed[output.index()] = true;
  for (std::size_t i = sweep.graph().nodes().size(); i-- > 0;) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& node = sweep.graph().node(id);
    if (std::ranges::none_of(node.outputs, [&](ValueId v) { return needed[v.index()]; })) {
      sweep.remove(id);
      continue;
    }
    for (const ValueId input : node.inputs)
      needed[input.index()] = true;
  }
  return sweep.finish();
}

Graph canonicalize(Graph graph) {
  check_verified(graph, "import");
  graph = fold_constants(std::move(graph));
  check_verified(graph, "fold_constants");
  graph = fuse_bias(std::move(graph));
  check_verified(graph, "fuse_bias");
  graph = fold_batch_norm(std::move(graph));
  check_verified(graph, "fold_batch_norm");
  graph = merge_reshapes(std::move(graph));
  check_verified(graph, "merge_reshapes");
  graph = remove_dead(std::move(graph));
  check_verified(graph, "remove_dead");
  return graph;
}

}  // namespace tessera::ir
