// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/verify.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "tessera/ir/generic.h"

#include "arity.h"

namespace tessera::ir {
namespace {

// Checks the rules of docs/rules/ir.md one after the other.
class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  std::vector<Violation> run() {
    ids();
    if (!found_.empty())
      return found_;
    producers();
    order();
    arities();
    node_names();
    value_names();
    constants();
    weights();
    if (found_.empty())
      shapes();
    if (found_.empty())
      batches();
    return found_;
  }

 private:
  template <typename... Args>
  void broken(const char* rule, fmt::format_string<Args...> text, Args&&... args) {
    found_.push_back({rule, fmt::format(text, std::forward<Args>(args)...)});
  }

  bool exists(ValueId id) const { return id.index() < graph_.values().size(); }

  // V1: ids exist.
  void ids() {
    for (const Node& node : graph_.nodes()) {
      for (const auto* list : {&node.inputs, &node.outputs}) {
        for (const ValueId id : *list) {
          if (!exists(id))
            broken("V1", "node '{}' names value {}, which does not exist", node.name, id.value);
        }
      }
    }
    for (const auto* list : {&graph_.inputs, &graph_.outputs}) {
      for (const ValueId id : *list) {
        if (!exists(id))
          broken("V1", "the graph's inputs or outputs name value {}, which does not exist",
                 id.value);
      }
    }
  }

  // V2: a value comes from one place: a node, the graph's inputs, or a constant.
  void producers() {
    std::vector<int> sources(graph_.values().size());
    for (const Node& node : graph_.nodes()) {
      for (const ValueId output : node.outputs)
        ++sources[output.index()];
    }
    for (const ValueId input : graph_.inputs)
      ++sources[input.index()];
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const Value& value = graph_.values()[i];
      if (sources[i] + (value.constant ? 1 : 0) > 1)
        broken("V2", "value '{}' comes from more than one place", value.name);
    }
  }

  // V3: what a node reads stands before it; what the graph returns is made.
  void order() {
    std::vector<bool> ready(graph_.values().size());
    for (std::size_t i = 0; i < ready.size(); ++i)
      ready[i] = graph_.values()[i].constant.has_value();
    for (const ValueId input : graph_.inputs)
      ready[input.index()] = true;
    for (const Node& node : graph_.nodes()) {
      for (const ValueId input : node.inputs) {
        if (!ready[input.index()]) {
          broken("V3", "node '{}' reads '{}' before it is made", node.name,
                 graph_.value(input).name);
        }
      }
      for (const ValueId output : node.outputs)
        ready[output.index()] = true;
    }
    for (const ValueId output : graph_.outputs) {
      if (!ready[output.index()])
        broken("V3", "output '{}' is never made", graph_.value(output).name);
    }
  }

  // V4: the numbers of inputs and outputs fit the operator.
  void arities() {
    for (const Node& node : graph_.nodes()) {
      const Arity allowed = arity(node.op);
      if (node.inputs.size() < allowed.min_inputs || node.inputs.size() > allowed.max_inputs ||
          node.outputs.size() < allowed.min_outputs || node.outputs.size() > allowed.max_outputs) {
        broken("V4", "node '{}' ({}) has {} inputs and {} outputs", node.name, name(node.op),
               node.inputs.size(), node.outputs.size());
      }
    }
  }

  // V5: names of nodes are unique and not empty.
  void node_names() {
    std::unordered_set<std::string_view> seen;
    for (const Node& node : graph_.nodes()) {
      if (node.name.empty() || !seen.insert(node.name).second)
        broken("V5", "name '{}' of a {} node is empty or used twice", node.name, name(node.op));
    }
  }

  // V6: names of values are unique and not empty.
  void value_names() {
    std::unordered_set<std::string_view> seen;
    for (const Value& value : graph_.values()) {
      if (value.name.empty() || !seen.insert(value.name).second)
        broken("V6", "name '{}' of a value is empty or used twice", value.name);
    }
  }

  // V7: a constant's value has the constant's type and shape.
  void constants() {
    for (const Value& value : graph_.values()) {
      if (value.constant &&
          (value.dtype != value.constant->dtype() || value.shape != value.constant->shape())) {
        broken("V7", "value '{}' is said to be {}, its constant is {} {}", value.name,
               name(value.dtype), name(value.constant->dtype()),
               to_string(value.constant->shape()));
      }
    }
  }

  // V8: weights, biases and the parameters of BatchNorm are constants.
  void weights() {
    for (const Node& node : graph_.nodes()) {
      if (!is_layer(node.op) && !std::holds_alternative<BatchNorm>(node.op))
        continue;
      for (std::size_t i = 1; i < node.inputs.size(); ++i) {
        const Value& value = graph_.value(node.inputs[i]);
        if (!value.constant)
          broken("V8", "parameter '{}' of node '{}' is not a constant", value.name, node.name);
      }
    }
  }

  // V9: shapes and types are those that infer_shapes() gives.
  void shapes() {
    Graph inferred = graph_;
    try {
      inferred = infer_shapes(std::move(inferred));
    } catch (const ImportError& error) {
      broken("V9", "{}", error.what());
      return;
    }
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& is = graph_.values()[i];
      const Value& should = inferred.values()[i];
      if (is.shape != should.shape || is.dtype != should.dtype) {
        const auto text = [](const Value& value) {
          return fmt::format("{} {}", name(value.dtype),
                             value.shape ? to_string(*value.shape) : "of unknown shape");
        };
        broken("V9", "value '{}' is said to be {}, but is {}", is.name, text(is), text(should));
      }
    }
  }

  // V10: in a graph that runs any batch, operators kept as ONNX defines them leave the batch alone.
  void batches() {
    for (const Node& node : graph_.nodes()) {
      const bool sized = std::ranges::all_of(
          node.inputs, [&](ValueId id) { return graph_.value(id).shape.has_value(); });
      if (graph_.batched && sized && std::holds_alternative<Generic>(node.op) &&
          !keeps_batch(graph_, node))
        broken("V10", "node '{}' ({}) moves or mixes the batch", node.name, name(node.op));
    }
  }

  const Graph& graph_;
  std::vector<Violation> found_;
};

}  // namespace

std::vector<Violation> verify(const Graph& graph) {
  return Verifier(graph).run();
}

void check_verified(const Graph& graph, std::string_view pass) {
  std::vector<std::string> lines;
  for (const Violation& violation : verify(graph))
    lines.push_back(violation.rule + ": " + violation.what);
  TESSERA_CHECK(lines.empty(), "graph broken after {}: {}", pass, fmt::join(lines, "; "));
}

}  // namespace tessera::ir
