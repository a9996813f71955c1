// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <numeric>

#include "tessera/core/error.h"
#include "tessera/ir/widths.h"

namespace tessera::ir {
namespace {

enum class Role { kNone, kMakes, kReads };

// Every axis of every value, joined (union-find) where an operator lets them change only together,
// and pinned where it does not let them change at all. One operator() for each operator says how.
//
// Sizes of joined axes may differ by a whole factor (Flatten, depthwise layers with a multiplier):
// then one channel is that many consecutive elements of the larger axis. All such factors multiply
// the inner side, so an axis's factor is its size over the smallest size in its set.
class Ties {
 public:
  explicit Ties(const Graph& graph) : graph_(graph) {
    std::size_t count = 0;
    for (const Value& value : graph.values()) {
      offsets_.push_back(count);
      count += value.shape ? value.shape->size() : 0;
    }
    parents_.resize(count);
    std::iota(parents_.begin(), parents_.end(), std::size_t{0});
    pinned_.resize(count);
    added_.resize(count);
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
      join(x(), 1, y(), 1);
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
      join(x(), axis, y(), axis);
    layer(last);
  }
  void operator()(const BatchNorm&) {
    join_all_axes();
    made_by(y(), 1, 1);
  }
  void operator()(const Unary&) { join_all_axes(); }
  void operator()(const Binary& binary) {
    const std::size_t of_y = rank(y());
    for (const ValueId input : node_->inputs) {
      for (std::size_t behind = 1; behind <= rank(input); ++behind) {
        const std::size_t axis = rank(input) - behind;
        if (size(input, axis) != size(y(), of_y - behind)) {
          pin(input, axis);  // broadcast: what is 1 must stay 1
          continue;
        }
        join(input, axis, y(), of_y - behind);
        if (graph_.value(input).constant)
          give(input, axis, Role::kMakes);
        else if (binary.kind == BinaryKind::kAdd && is_activation(node_->inputs[0]) &&
                 is_activation(node_->inputs[1]))
          added_[slot(input, axis)] = true;
      }
    }
  }
  void operator()(const Pool&) { channels_alone(); }
  void operator()(const GlobalPool&) { channels_alone(); }
  void operator()(const Pad&) { channels_alone(); }
  void operator()(const Flatten&) {
    if (rank(x()) >= 2)
      join(x(), 1, y(), 1);
    for (std::size_t axis = 2; axis < rank(x()); ++axis)
      pin(x(), axis);
  }
  void operator()(const Reshape&) { pin_node(); }
  void operator()(const Concat& concat) {
    for (const ValueId input : node_->inputs) {
      for (std::size_t axis = 0; axis < rank(input); ++axis) {
        if (static_cast<std::int64_t>(axis) != concat.axis)
          join(input, axis, y(), axis);
        else
          pin(input, axis);
      }
    }
    pin(y(), static_cast<std::size_t>(concat.axis));
  }
  void operator()(const Softmax& softmax) {
    join_all_axes();
    pin(y(), static_cast<std::size_t>(softmax.axis));
  }
  void operator()(const Generic&) { pin_node(); }
  void operator()(const Unknown&) { pin_node(); }

  std::vector<WidthGroup> groups() {
    std::map<std::size_t, std::vector<std::size_t>> sets;  // root to its slots, ascending
    for (std::size_t i = 0; i < parents_.size(); ++i)
      sets[root(i)].push_back(i);
    std::vector<WidthGroup> result;
    for (std::uint32_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (!is_layer(node.op) || is_depthwise(node))
        continue;
      // A set is looked at where its first writer stands, and only there.
      const auto found = sets.find(root(slot(node.inputs[1], 0)));
      if (found == sets.end())
        continue;
      if (auto group = make_group(found->second))
        result.push_back(std::move(*group));
      sets.erase(found);
    }
    return result;
  }

 private:
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

  std::size_t root(std::size_t i) {
    while (parents_[i] != i)
      i = parents_[i] = parents_[parents_[i]];
    return i;
  }
  void join(ValueId a, std::size_t i, ValueId b, std::size_t j) {
    parents_[root(slot(a, i))] = root(slot(b, j));
  }
  void pin(ValueId id, std::size_t axis) { pinned_[slot(id, axis)] = true; }
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
      join(id, axis, node_->inputs[i], 0);
      give(node_->inputs[i], 0, Role::kMakes);
    }
  }
  void layer(std::size_t channel_axis) {
    const ValueId weight = node_->inputs[1];
    join(x(), channel_axis, weight, 1);
    give(weight, 1, Role::kReads);
    made_by(y(), channel_axis, 1);
  }
  void join_all_axes() {
    for (std::size_t axis = 0; axis < rank(x()); ++axis)
      join(x(), axis, y(), axis);
  }
  void channels_alone() {
    join(x(), 1, y(), 1);
    for (const std::size_t axis : {2U, 3U}) {
      pin(x(), axis);
      pin(y(), axis);
    }
  }

  // None when the set must not or cannot change.
  std::optional<WidthGroup> make_group(const std::vector<std::size_t>& slots) {
    WidthGroup group;
    std::size_t value = 0;
    bool stream = false;
    std::vector<std::pair<std::size_t, std::size_t>> members;  // value, axis
    for (const std::size_t s : slots) {
      while (value + 1 < offsets_.size() && offsets_[value + 1] <= s)
        ++value;
      const std::int64_t size = (*graph_.values()[value].shape)[s - offsets_[value]];
      if (pinned_[s] || (graph_.values()[value].constant && roles_[s] == Role::kNone))
        return std::nullopt;
      group.width = group.width == 0 ? size : std::min(group.width, size);
      members.emplace_back(value, s - offsets_[value]);
      stream = stream || added_[s];
    }
    for (const auto& [index, axis] : members) {
      const ValueId id{static_cast<std::uint32_t>(index)};
      if (size(id, axis) % group.width != 0)
        return std::nullopt;
      if (!is_activation(id)) {
        group.axes.push_back({.value = id,
                              .axis = axis,
                              .inner = size(id, axis) / group.width,
                              .summed = roles_[slot(id, axis)] == Role::kReads});
      }
    }
    find_layers(group);
    if (group.readers.empty())
      return std::nullopt;
    const auto linear = [&](NodeId id) {
      return std::holds_alternative<Linear>(graph_.node(id).op);
    };
    group.name = graph_.node(group.writers.front()).name;
    group.kind = !group.depthwise.empty()                     ? WidthKind::kExpansion
                 : stream                                     ? WidthKind::kStream
                 : std::ranges::all_of(group.writers, linear) ? WidthKind::kHidden
                                                              : WidthKind::kInner;
    return group;
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
  const Node* node_ = nullptr;
  std::vector<std::size_t> offsets_;  // by value: its first slot
  std::vector<std::size_t> parents_;  // by slot
  std::vector<bool> pinned_, added_;  // by slot
  std::vector<Role> roles_;           // by slot, of constants
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
  }
  TESSERA_CHECK(false, "width kind {}", static_cast<int>(kind));
}

std::vector<WidthGroup> width_groups(const Graph& graph) {
  return Ties(graph).groups();
}

}  // namespace tessera::ir
