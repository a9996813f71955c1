// SPDX-License-Identifier: Apache-2.0
#include "makers.h"

#include <algorithm>

#include "tessera/ir/generic.h"

namespace tessera::ir {
namespace {

std::optional<std::int64_t> single_integer(const Value& value) {
  if (!value.constant || value.constant->elements() != 1)
    return std::nullopt;
  if (value.dtype == DType::kInt64)
    return value.constant->values<std::int64_t>()[0];
  if (value.dtype == DType::kInt32)
    return value.constant->values<std::int32_t>()[0];
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> taken_axis(const Graph& graph, const Node& node) {
  const auto* generic = std::get_if<Generic>(&node.op);
  if (generic == nullptr || !generic->domain.empty())
    return std::nullopt;
  const auto rank = static_cast<std::int64_t>(graph.value(node.inputs[0]).shape->size());
  const std::int64_t axis = integer(*generic, "axis", 0);
  const auto place = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  if (generic->type == "Split")
    return place;
  if (generic->type != "Gather" || !single_integer(graph.value(node.inputs[1])) ||
      !graph.value(node.inputs[1]).shape->empty())
    return std::nullopt;
  return place;
}

bool Makers::trace(ValueId value) {
  return trace(value, {});
}

bool Makers::holds(ValueId value, std::size_t axis) {
  const auto list = atoms_.of(value, axis);
  return std::ranges::find(list, atom_) != list.end();
}

bool Makers::holds(ValueId value) {
  for (std::size_t axis = 0; axis < graph_.value(value).shape->size(); ++axis) {
    if (holds(value, axis))
      return true;
  }
  return false;
}

bool Makers::add(ValueId constant, std::size_t axis, const std::vector<Taken>& taken) {
  const auto list = atoms_.of(constant, axis);
  const auto own = static_cast<std::size_t>(std::ranges::find(list, atom_) - list.begin());
  std::int64_t outer = 1;
  for (std::size_t i = 0; i < own; ++i)
    outer *= atoms_.size(list[i]);
  for (const Taken& part : taken) {
    if (std::find(list.begin() + static_cast<std::ptrdiff_t>(own), list.end(), part.atom) !=
        list.end())
      return false;  // parts of a channel
  }
  for (std::int64_t block = 0; block < outer; ++block) {
    bool inside = true;
    std::int64_t rest = block;
    for (std::size_t i = own; i-- > 0;) {
      const std::int64_t index = rest % atoms_.size(list[i]);
      rest /= atoms_.size(list[i]);
      for (const Taken& part : taken)
        inside = inside && (part.atom != list[i] || (index >= part.begin && index < part.end));
    }
    if (inside)
      found_[{constant, axis}].insert(block);
  }
  return true;
}

bool Makers::trace(ValueId value, std::vector<Taken> taken) {
  if (graph_.value(value).constant) {
    for (std::size_t axis = 0; axis < graph_.value(value).shape->size(); ++axis) {
      if (holds(value, axis) && !add(value, axis, taken))
        return false;
    }
    return true;
  }
  const auto producer = wiring_.producer(value);
  if (!producer)
    return false;
  const Node& node = graph_.node(*producer);
  if (is_layer(node.op)) {
    const auto* conv = std::get_if<Conv>(&node.op);
    if (!holds(node.inputs[1], 0) || (conv != nullptr && conv->groups > 1))
      return false;
    return std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                       [&](ValueId made) { return add(made, 0, taken); });
  }
  const auto through_all = [&] {
    return std::ranges::all_of(node.inputs,
                               [&](ValueId input) { return !holds(input) || trace(input, taken); });
  };
  if (const auto* binary = std::get_if<Binary>(&node.op)) {
    if (binary->kind == BinaryKind::kAdd || binary->kind == BinaryKind::kSub)
      return through_all();
    // A factor along the channels may be copied.
    const bool scales = !holds(node.inputs[1]) || graph_.value(node.inputs[1]).constant;
    return scales && trace(node.inputs[0], taken);
  }
  if (const auto* unary = std::get_if<Unary>(&node.op))
    return unary->kind == UnaryKind::kIdentity && through_all();
  if (std::holds_alternative<Reshape>(node.op) || std::holds_alternative<Flatten>(node.op))
    return trace(node.inputs[0], taken);
  if (const auto axis = taken_axis(graph_, node)) {
    const auto atoms = atoms_.of(node.inputs[0], *axis);
    if (atoms.size() != 1)
      return false;
    std::int64_t begin = 0;
    std::int64_t count = 1;
    if (std::get<Generic>(node.op).type == "Gather") {
      begin = *single_integer(graph_.value(node.inputs[1]));
      begin += begin < 0 ? atoms_.size(atoms[0]) : 0;
    } else {
      for (const ValueId output : node.outputs) {
        count = (*graph_.value(output).shape)[*axis];
        if (output == value)
          break;
        begin += count;
      }
    }
    taken.push_back({atoms[0], begin, begin + count});
    return trace(node.inputs[0], taken);
  }
  const auto* generic = std::get_if<Generic>(&node.op);
  if (generic == nullptr || !generic->domain.empty())
    return false;
  static const std::set<std::string> kMoves = {"Transpose", "Unsqueeze", "Squeeze", "Reshape"};
  // Sums over other atoms: of values, weighted.
  if (generic->type == "MatMul")
    return through_all();
  return kMoves.contains(generic->type) && trace(node.inputs[0], taken);
}

}  // namespace tessera::ir
