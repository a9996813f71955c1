// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/ir/generic.h"
#include "tessera/ir/widths.h"

#include "axis_atoms.h"
#include "makers.h"

namespace tessera::ir {
namespace {

enum class Role { kNone, kMakes, kReads };

// Which atoms of which axes change only together, and which not at all. One operator() for each
// operator says how.
class Ties {
 public:
  explicit Ties(const Graph& graph) : graph_(graph), wiring_(graph), atoms_(graph) {
    std::size_t count = 0;
    for (const Value& value : graph.values()) {
      offsets_.push_back(count);
      count += value.shape ? value.shape->size() : 0;
    }
    roles_.resize(count, Role::kNone);
    for (const ValueId id : graph.inputs)
      pin(id);
    for (const ValueId id : graph.outputs)
      pin(id);
    for (const Node& node : graph.nodes()) {
      node_ = &node;
      const auto sized = [&](ValueId id) { return graph.value(id).shape.has_value(); };
      if (std::ranges::all_of(node.inputs, sized) && std::ranges::all_of(node.outputs, sized))
        std::visit(*this, node.op);
      else
        pin_node();
    }
  }

  void operator()(const Conv& conv) {
    for (const std::size_t axis : {2U, 3U}) {
      pin(x(), axis);
      pin(y(), axis);
    }
    if (conv.groups > 1 && rank(x()) == 4 && size(x(), 1) == conv.groups) {
      atoms_.join(x(), 1, y(), 1);
      made_by(y(), 1, 1);
    } else if (conv.groups > 1) {
      pin_node();
    } else {
      layer(1);
    }
  }
  void operator()(const Linear&) {
    const std::size_t last = rank(x()) - 1;
    for (std::size_t axis = 0; axis < last; ++axis)
      atoms_.join(x(), axis, y(), axis);
    layer(last);
  }
  void operator()(const BatchNorm&) {
    join_all_axes();
    made_by(y(), 1, 1);
  }
  void operator()(const Unary&) { join_all_axes(); }
  void operator()(const Binary& binary) {
    const bool adds = binary.kind == BinaryKind::kAdd && is_activation(node_->inputs[0]) &&
                      is_activation(node_->inputs[1]);
    join_broadcast(adds);
  }
  void operator()(const Pool&) { channels_alone(); }
  void operator()(const GlobalPool&) { channels_alone(); }
  void operator()(const Pad&) { channels_alone(); }
  void operator()(const Flatten&) { reshape(1); }
  void operator()(const Reshape&) { reshape(0); }
  void operator()(const Concat& concat) {
    for (const ValueId input : node_->inputs)
      join_but(input, y(), static_cast<std::size_t>(concat.axis));
  }
  void operator()(const Softmax& softmax) {
    join_all_axes();
    pin(y(), static_cast<std::size_t>(softmax.axis));
  }
  void operator()(const Generic& generic) {
    if (!generic.domain.empty()) {
      pin_node();
    } else if (generic.type == "MatMul") {
      product();
    } else if (generic.type == "Transpose") {
      for (std::size_t axis = 0; axis < rank(y()); ++axis)
        atoms_.join(x(), transposed_axis(generic, axis), y(), axis);
    } else if (generic.type == "Unsqueeze" || generic.type == "Squeeze") {
      reshape(0);
    } else if (generic.type == "Reshape" && graph_.value(node_->inputs[1]).constant) {
      reshape(0);
    } else if (const auto taken = taken_axis(graph_, *node_)) {
      for (const ValueId output : node_->outputs) {
        if (rank(output) == rank(x()))
          join_but(x(), output, *taken);
        else
          join_without(output, *taken);
      }
      pin(x(), *taken);
    } else if (generic.type == "LayerNormalization") {
      const std::int64_t from = integer(generic, "axis", -1);
      const auto first =
          static_cast<std::size_t>(from < 0 ? from + static_cast<std::int64_t>(rank(x())) : from);
      join_all_axes();
      for (std::size_t axis = first; axis < rank(x()); ++axis)
        pin(x(), axis);
    } else if (is_pointwise(generic)) {
      join_broadcast(false);
    } else {
      pin_node();
    }
  }
  void operator()(const Unknown&) { pin_node(); }

  std::vector<WidthGroup> groups() {
    std::map<Atom, std::vector<Member>> sets;
    for (std::uint32_t i = 0; i < graph_.values().size(); ++i) {
      const ValueId id{i};
      for (std::size_t axis = 0; graph_.value(id).shape && axis < rank(id); ++axis) {
        std::int64_t outer = 1;
        for (const Atom atom : atoms_.of(id, axis)) {
          sets[atom].push_back({id, axis, outer});
          outer *= atoms_.size(atom);
        }
      }
    }
    std::vector<WidthGroup> result;
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (!is_layer(node.op) || is_depthwise(node))
        continue;
      // A set is looked at where its first writer stands, and only there.
      for (const Atom atom : atoms_.of(node.inputs[1], 0)) {
        const auto found = sets.find(atom);
        if (found == sets.end())
          continue;
        if (auto group = make_group(atom, found->second))
          result.push_back(std::move(*group));
        sets.erase(found);
      }
    }
    return result;
  }

 private:
  using Atom = AxisAtoms::Atom;
  // Where an atom stands, with the product of the atoms outside it in the axis.
  struct Member {
    ValueId value;
    std::size_t axis = 0;
    std::int64_t outer = 1;
  };

  ValueId x() const { return node_->inputs.front(); }
  ValueId y() const { return node_->outputs.front(); }
  std::size_t rank(ValueId id) const { return graph_.value(id).shape->size(); }
  std::int64_t size(ValueId id, std::size_t axis) const { return (*graph_.value(id).shape)[axis]; }
  std::size_t slot(ValueId id, std::size_t axis) const { return offsets_[id.index()] + axis; }
  bool is_activation(ValueId id) const { return !graph_.value(id).constant.has_value(); }
  static bool is_depthwise(const Node& node) {
    const auto* conv = std::get_if<Conv>(&node.op);
    return conv != nullptr && conv->groups > 1;
  }
  std::size_t transposed_axis(const Generic& op, std::size_t axis) const {
    const std::vector<std::int64_t> order = integers(op, "perm", {});
    return order.empty() ? rank(x()) - 1 - axis : static_cast<std::size_t>(order[axis]);
  }

  void pin(ValueId id, std::size_t axis) { atoms_.pin(atoms_.of(id, axis)); }
  void pin(ValueId id) {
    for (std::size_t axis = 0; graph_.value(id).shape && axis < rank(id); ++axis)
      pin(id, axis);
  }
  void pin_node() {
    for (const ValueId id : node_->inputs)
      pin(id);
    for (const ValueId id : node_->outputs)
      pin(id);
  }
  // A constant whose elements would be treated in two ways stays as it is.
  void give(ValueId constant, std::size_t axis, Role role) {
    Role& old = roles_[slot(constant, axis)];
    if (graph_.value(constant).dtype != DType::kFloat32 || (old != Role::kNone && old != role))
      pin(constant, axis);
    old = role;
  }

  // Inputs from `first` on have one element of their axis 0 for each channel of `id`.
  void made_by(ValueId id, std::size_t axis, std::size_t first) {
    for (std::size_t i = first; i < node_->inputs.size(); ++i) {
      atoms_.join(id, axis, node_->inputs[i], 0);
      give(node_->inputs[i], 0, Role::kMakes);
    }
  }
  void layer(std::size_t channel_axis) {
    const ValueId weight = node_->inputs[1];
    atoms_.join(x(), channel_axis, weight, 1);
    give(weight, 1, Role::kReads);
    made_by(y(), channel_axis, 1);
  }
  void join_all_axes() {
    for (std::size_t axis = 0; axis < rank(x()); ++axis)
      atoms_.join(x(), axis, y(), axis);
  }
  // Axes of inputs with those of the output, as NumPy aligns them.
  void join_broadcast(bool adds) {
    const std::size_t of_y = rank(y());
    for (const ValueId input : node_->inputs) {
      for (std::size_t behind = 1; behind <= rank(input); ++behind) {
        const std::size_t axis = rank(input) - behind;
        if (size(input, axis) != size(y(), of_y - behind)) {
          pin(input, axis);  // broadcast: what is 1 must stay 1
          continue;
        }
        atoms_.join(input, axis, y(), of_y - behind);
        if (graph_.value(input).constant)
          give(input, axis, Role::kMakes);
        else if (adds)
          atoms_.mark(atoms_.of(input, axis), AxisAtoms::kAdded);
      }
    }
  }
  void channels_alone() {
    atoms_.join(x(), 1, y(), 1);
    for (const std::size_t axis : {2U, 3U}) {
      pin(x(), axis);
      pin(y(), axis);
    }
  }
  // Elements keep their order; axes before `first` stay as they are.
  void reshape(std::size_t first) {
    for (std::size_t axis = 0; axis < std::min(first, std::min(rank(x()), rank(y()))); ++axis)
      atoms_.join(x(), axis, y(), axis);
    atoms_.join(larger_than_one(x(), first), larger_than_one(y(), first));
  }
  // Axes of 1 stand anywhere in a new shape.
  std::vector<Atom> larger_than_one(ValueId id, std::size_t first) {
    std::vector<Atom> list;
    for (std::size_t axis = first; axis < rank(id); ++axis) {
      for (const Atom atom : atoms_.of(id, axis)) {
        if (atoms_.size(atom) == 1)
          atoms_.pin({atom});
        else
          list.push_back(atom);
      }
    }
    return list;
  }
  void join_but(ValueId input, ValueId output, std::size_t left_out) {
    for (std::size_t axis = 0; axis < rank(input); ++axis) {
      if (axis != left_out)
        atoms_.join(input, axis, output, axis);
    }
    pin(input, left_out);
    pin(output, left_out);
  }
  void join_without(ValueId output, std::size_t left_out) {
    for (std::size_t axis = 0; axis < rank(output); ++axis)
      atoms_.join(x(), axis < left_out ? axis : axis + 1, output, axis);
  }
  // Of two activations [.., M, K] and [.., K, N].
  void product() {
    const ValueId a = node_->inputs[0];
    const ValueId b = node_->inputs[1];
    if (!is_activation(a) || !is_activation(b) || rank(a) < 2 || rank(a) != rank(b)) {
      pin_node();
      return;
    }
    const std::size_t m = rank(a) - 2;
    const std::size_t n = rank(a) - 1;
    for (std::size_t axis = 0; axis < m; ++axis) {
      if (size(a, axis) != size(b, axis)) {
        pin(a, axis);
        pin(b, axis);
        pin(y(), axis);
        continue;
      }
      atoms_.join(a, axis, b, axis);
      atoms_.join(a, axis, y(), axis);
      atoms_.mark(atoms_.of(y(), axis), AxisAtoms::kBatch);
    }
    atoms_.join(a, m, y(), m);
    atoms_.join(b, n, y(), n);
    atoms_.join(a, n, b, m);
    atoms_.mark(atoms_.of(a, n), AxisAtoms::kContracted);
    products_.push_back(node_);
  }

  // None when the set must not or cannot change.
  std::optional<WidthGroup> make_group(Atom atom, const std::vector<Member>& members) {
    if (atoms_.is_pinned(atom))
      return std::nullopt;
    WidthGroup group;
    group.width = atoms_.size(atom);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto& [id, axis, outer] = members[i];
      if (i > 0 && members[i - 1].value == id && members[i - 1].axis == axis)
        return std::nullopt;  // twice in one axis
      if (is_activation(id))
        continue;
      const Role role = roles_[slot(id, axis)];
      if (role == Role::kNone)
        return std::nullopt;
      group.axes.push_back({.value = id,
                            .axis = axis,
                            .outer = outer,
                            .inner = size(id, axis) / outer / group.width,
                            .summed = role == Role::kReads});
    }
    find_layers(group);
    if (!state_sizes(group, members))
      return std::nullopt;
    const bool contracted = atoms_.has(atom, AxisAtoms::kContracted);
    if (contracted ? !zero_keys(group, atom) : group.readers.empty())
      return std::nullopt;
    const std::string& writer = graph_.node(group.writers.front()).name;
    const auto linear = [&](NodeId id) {
      return std::holds_alternative<Linear>(graph_.node(id).op);
    };
    group.kind = contracted                                   ? WidthKind::kQueryKey
                 : atoms_.has(atom, AxisAtoms::kBatch)        ? WidthKind::kHeads
                 : !group.depthwise.empty()                   ? WidthKind::kExpansion
                 : atoms_.has(atom, AxisAtoms::kAdded)        ? WidthKind::kStream
                 : passes_product(atom)                       ? WidthKind::kValue
                 : std::ranges::all_of(group.writers, linear) ? WidthKind::kHidden
                                                              : WidthKind::kInner;
    const bool attention = group.kind == WidthKind::kQueryKey || group.kind == WidthKind::kHeads ||
                           group.kind == WidthKind::kValue;
    group.name = attention ? fmt::format("{} ({})", writer, name(group.kind)) : writer;
    return group;
  }
  // The free axis of a product's second operand.
  bool passes_product(Atom atom) {
    return std::ranges::any_of(products_, [&](const Node* node) {
      const auto list = atoms_.of(node->outputs[0], rank(node->outputs[0]) - 1);
      return std::ranges::find(list, atom) != list.end();
    });
  }
  // Sizes that a Reshape states of its own: false where one is computed from something else.
  bool state_sizes(WidthGroup& group, const std::vector<Member>& members) const {
    for (const Member& member : members) {
      const auto producer = wiring_.producer(member.value);
      if (!producer)
        continue;
      const Node& node = graph_.node(*producer);
      if (std::holds_alternative<Reshape>(node.op)) {
        if (member.axis > 0)
          group.sizes.push_back({*producer, member.axis - 1});
        continue;
      }
      const auto* generic = std::get_if<Generic>(&node.op);
      if (generic == nullptr || generic->type != "Reshape")
        continue;
      const Tensor& shape = *graph_.value(node.inputs[1]).constant;
      if (shape.dtype() != DType::kInt64)
        return false;
      if (shape.values<std::int64_t>()[member.axis] > 0)  // 0 and -1 follow by themselves
        group.sizes.push_back({*producer, member.axis});
    }
    return true;
  }
  // Marks what makes keys. False when that cannot be told from what makes queries or values.
  bool zero_keys(WidthGroup& group, Atom atom) {
    const Node* contraction = nullptr;
    for (const Node* node : products_) {
      const auto list = atoms_.of(node->inputs[0], rank(node->inputs[0]) - 1);
      if (std::ranges::find(list, atom) == list.end())
        continue;
      if (contraction != nullptr)
        return false;
      contraction = node;
    }
    Makers keys(graph_, wiring_, atoms_, atom);
    Makers others(graph_, wiring_, atoms_, atom);
    if (!keys.trace(contraction->inputs[1]) || !others.trace(contraction->inputs[0]))
      return false;
    for (const NodeId reader : group.readers) {
      if (!others.trace(graph_.node(reader).inputs[0]))
        return false;
    }
    for (const auto& [place, blocks] : keys.found()) {
      const auto same = others.found().find(place);
      if (same != others.found().end() &&
          std::ranges::any_of(blocks, [&](std::int64_t b) { return same->second.contains(b); }))
        return false;
      for (WidthAxis& axis : group.axes) {
        if (std::pair(axis.value, axis.axis) == place)
          axis.zeroed.assign(blocks.begin(), blocks.end());
      }
    }
    return true;
  }
  void find_layers(WidthGroup& group) const {
    const auto in_group = [&](ValueId id, std::size_t axis) {
      return std::ranges::any_of(
          group.axes, [&](const WidthAxis& a) { return a.value == id && a.axis == axis; });
    };
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (!is_layer(node.op))
        continue;
      if (in_group(node.inputs[1], 0))
        (is_depthwise(node) ? group.depthwise : group.writers).push_back({i});
      if (in_group(node.inputs[1], 1))
        group.readers.push_back({i});
    }
  }

  const Graph& graph_;
  Wiring wiring_;
  AxisAtoms atoms_;
  const Node* node_ = nullptr;
  std::vector<std::size_t> offsets_;   // by value: its first slot
  std::vector<Role> roles_;            // by slot, of constants
  std::vector<const Node*> products_;  // of two activations
};

}  // namespace

std::string_view name(WidthKind kind) {
  switch (kind) {
    case WidthKind::kInner:
      return "inner";
    case WidthKind::kStream:
      return "stream";
    case WidthKind::kExpansion:
      return "expansion";
    case WidthKind::kHidden:
      return "hidden";
    case WidthKind::kHeads:
      return "heads";
    case WidthKind::kQueryKey:
      return "queries and keys";
    case WidthKind::kValue:
      return "values";
  }
  TESSERA_CHECK(false, "width kind {}", static_cast<int>(kind));
}

std::vector<WidthGroup> width_groups(const Graph& graph) {
  return Ties(graph).groups();
}

}  // namespace tessera::ir
