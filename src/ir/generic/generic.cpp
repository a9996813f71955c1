// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/generic.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "tessera/core/text.h"

#include "../arity.h"
#include "rule.h"

namespace tessera::ir {
namespace {

template <typename T>
const T* find(const Generic& op, const std::string& name) {
  const auto found = op.attributes.find(name);
  return found == op.attributes.end() ? nullptr : &std::get<T>(found->second);
}

// The letter of an attribute's type, in the order of ir::Attribute.
char letter(const Attribute& attribute) {
  return "ifsIFtS"[attribute.index()];
}

std::string_view type_name(char letter) {
  switch (letter) {
    case 'i':
      return "an integer";
    case 'f':
      return "a float";
    case 's':
      return "a string";
    case 'I':
      return "a list of integers";
    case 'F':
      return "a list of floats";
    case 'S':
      return "a list of strings";
    default:
      return "a tensor";
  }
}

std::array<std::span<const GenericRule>, 7> all_rules() {
  return {elementwise_rules(), movement_rules(),  reduction_rules(), product_rules(),
          image_rules(),       quantized_rules(), sequence_rules()};
}

}  // namespace

std::int64_t integer(const Generic& op, const std::string& name, std::int64_t fallback) {
  const auto* found = find<std::int64_t>(op, name);
  return found != nullptr ? *found : fallback;
}

float real(const Generic& op, const std::string& name, float fallback) {
  const auto* found = find<float>(op, name);
  return found != nullptr ? *found : fallback;
}

std::string text(const Generic& op, const std::string& name, const std::string& fallback) {
  const auto* found = find<std::string>(op, name);
  return found != nullptr ? *found : fallback;
}

std::vector<std::int64_t> integers(const Generic& op, const std::string& name,
                                   std::vector<std::int64_t> fallback) {
  const auto* found = find<std::vector<std::int64_t>>(op, name);
  return found != nullptr ? *found : std::move(fallback);
}

std::vector<float> reals(const Generic& op, const std::string& name, std::vector<float> fallback) {
  const auto* found = find<std::vector<float>>(op, name);
  return found != nullptr ? *found : std::move(fallback);
}

bool has_attribute(const Generic& op, const std::string& name) {
  return op.attributes.contains(name);
}

std::optional<std::size_t> find_input(const Generic& op, int position) {
  const auto found = std::ranges::find(op.positions, position);
  if (found == op.positions.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - op.positions.begin());
}

const Value& GenericCall::value(int position) const {
  const auto index = find_input(op, position);
  require(index.has_value(), "input {} is missing", position);
  return graph_.value(node_.inputs[*index]);
}

std::vector<std::int64_t> GenericCall::constant_integers(int position,
                                                         std::string_view what) const {
  const Value& found = value(position);
  require(found.dtype == DType::kInt64 || found.dtype == DType::kInt32,
          "{} '{}' holds {}, allowed: int64", what, found.name, name(found.dtype));
  if (!found.constant)
    throw NeedsConstant{position, std::string(what)};
  if (found.dtype == DType::kInt64) {
    const auto list = found.constant->values<std::int64_t>();
    return {list.begin(), list.end()};
  }
  const auto list = found.constant->values<std::int32_t>();
  return {list.begin(), list.end()};
}

std::int64_t GenericCall::constant_integer(int position, std::string_view what) const {
  const std::vector<std::int64_t> list = constant_integers(position, what);
  require(list.size() == 1, "{} numbers as {}, allowed: 1", list.size(), what);
  return list[0];
}

std::vector<float> GenericCall::constant_floats(int position, std::string_view what) const {
  const Value& found = value(position);
  require(found.dtype == DType::kFloat32, "{} '{}' holds {}, allowed: floats", what, found.name,
          name(found.dtype));
  if (!found.constant)
    throw NeedsConstant{position, std::string(what)};
  const auto list = found.constant->values<float>();
  return {list.begin(), list.end()};
}

std::size_t GenericCall::axis(std::int64_t axis, std::size_t rank) const {
  const auto size = static_cast<std::int64_t>(rank);
  require(axis >= -size && axis < size, "axis is {}, allowed: {} to {}", axis, -size, size - 1);
  return static_cast<std::size_t>(axis < 0 ? axis + size : axis);
}

std::optional<std::vector<std::int64_t>> GenericCall::list(const char* name, int position) const {
  if (has_attribute(op, name))
    return integers(op, name, {});
  if (has(position))
    return constant_integers(position, name);
  return std::nullopt;
}

std::vector<TypedShape> same_as_first(const GenericCall& call) {
  return {{call.shape(0), call.dtype(0)}};
}

Shape broadcast(const GenericCall& call, const Shape& a, const Shape& b) {
  Shape y = a.size() >= b.size() ? a : b;
  const Shape& less = a.size() >= b.size() ? b : a;
  for (std::size_t i = 1; i <= less.size(); ++i) {
    std::int64_t& size = y[y.size() - i];
    const std::int64_t other = less[less.size() - i];
    call.require(size == other || size == 1 || other == 1, "shapes {} and {} do not fit",
                 to_string(a), to_string(b));
    size = size == 1 ? other : size;
  }
  return y;
}

std::int64_t one_per_output(const GenericCall& call) {
  return element_count(*call.output(0).shape);
}

bool aligned_batch(const GenericCall& call) {
  std::size_t rank = 0;
  for (std::size_t i = 0; i < call.inputs(); ++i)
    rank = std::max(rank, call.nth_input(i).shape->size());
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    const Shape& shape = *call.nth_input(i).shape;
    const bool constant = call.nth_input(i).constant.has_value();
    if (constant ? shape.size() == rank && rank > 0 && shape[0] != 1 : shape.size() != rank)
      return false;
  }
  return rank > 0;
}

bool only_first_is_activation(const GenericCall& call) {
  for (std::size_t i = 1; i < call.inputs(); ++i) {
    if (!call.nth_input(i).constant)
      return false;
  }
  return call.rank(0) > 0;
}

const GenericRule* find_rule(std::string_view domain, std::string_view type) {
  static const std::unordered_map<std::string, const GenericRule*> kByName = [] {
    std::unordered_map<std::string, const GenericRule*> map;
    for (const auto rules : all_rules()) {
      for (const GenericRule& rule : rules)
        map.emplace(fmt::format("{}.{}", rule.domain, rule.type), &rule);
    }
    return map;
  }();
  const auto found = kByName.find(fmt::format("{}.{}", domain, type));
  return found == kByName.end() ? nullptr : found->second;
}

int form_since(std::string_view type, int opset) {
  struct Change {
    std::string_view type;
    int opset;
  };
  static constexpr Change kChanges[] = {
      {"BatchNormalization", 14},
      {"Clip", 11},
      {"DFT", 20},
      {"Dropout", 12},
      {"GroupNormalization", 21},
      {"Hardmax", 13},
      {"LogSoftmax", 13},
      {"Pad", 11},
      {"ReduceL1", 18},
      {"ReduceL2", 18},
      {"ReduceLogSum", 18},
      {"ReduceLogSumExp", 18},
      {"ReduceMax", 18},
      {"ReduceMean", 18},
      {"ReduceMin", 18},
      {"ReduceProd", 18},
      {"ReduceSum", 13},
      {"ReduceSumSquare", 18},
      {"Resize", 11},
      {"Scatter", 11},
      {"Slice", 10},
      {"Softmax", 13},
      {"Split", 13},
      {"Squeeze", 13},
      {"TopK", 10},
      {"Unsqueeze", 13},
      {"Upsample", 10},
  };
  for (const Change& change : kChanges) {
    if (change.type == type)
      return opset >= change.opset ? change.opset : 0;
  }
  return 0;
}

bool is_generic(std::string_view domain, std::string_view type) {
  return find_rule(domain, type) != nullptr;
}

std::vector<std::string> generic_operators() {
  std::vector<std::string> names;
  for (const auto rules : all_rules()) {
    for (const GenericRule& rule : rules)
      names.push_back(rule.domain.empty() ? std::string(rule.type)
                                          : fmt::format("{}.{}", rule.domain, rule.type));
  }
  std::ranges::sort(names);
  return names;
}

bool sizes_depend_on_values(const Generic& op) {
  return find_rule(op.domain, op.type)->infer == nullptr;
}

std::optional<std::string> generic_misfit(const Generic& op) {
  const GenericRule* rule = find_rule(op.domain, op.type);
  TESSERA_CHECK(rule != nullptr, "{} is not generic", op.type);
  for (const auto& [name, value] : op.attributes) {
    std::optional<char> type;
    for (const std::string_view entry : split(rule->attributes, ' ')) {
      if (entry.size() == name.size() + 2 && entry.starts_with(name))
        type = entry.back();
    }
    if (!type)
      return fmt::format("attribute {} not supported", name);
    if (*type != letter(value))
      return fmt::format("attribute {} is {}, allowed: {}", name, type_name(letter(value)),
                         type_name(*type));
  }
  return std::nullopt;
}

Arity generic_arity(const Generic& op) {
  const GenericRule* rule = find_rule(op.domain, op.type);
  TESSERA_CHECK(rule != nullptr, "{} is not generic", op.type);
  const std::size_t given = op.positions.size();
  const int last = op.positions.empty() ? -1 : op.positions.back();
  bool complete = last < rule->max_inputs;
  for (int i = 0; i < rule->min_inputs; ++i)
    complete = complete && find_input(op, i).has_value();
  const auto outputs = static_cast<std::size_t>(rule->max_outputs);
  if (complete)
    return {given, given, 1, outputs};
  return {static_cast<std::size_t>(rule->min_inputs), static_cast<std::size_t>(rule->max_inputs), 1,
          outputs};
}

std::optional<NeedsConstant> missing_constant(const Graph& graph, const Node& node) {
  const GenericCall call(graph, node);
  const GenericRule* rule = find_rule(call.op.domain, call.op.type);
  if (rule->infer == nullptr) {
    for (std::size_t i = 0; i < call.inputs(); ++i) {
      if (!call.nth_input(i).constant)
        return NeedsConstant{call.op.positions[i], "input"};
    }
    return std::nullopt;
  }
  try {
    rule->infer(call);
  } catch (const NeedsConstant& needed) {
    return needed;
  } catch (const Misfit&) {
    // Reported when shapes are inferred.
  }
  return std::nullopt;
}

bool keeps_batch(const Graph& graph, const Node& node) {
  const GenericCall call(graph, node);
  const GenericRule* rule = find_rule(call.op.domain, call.op.type);
  if (rule->infer == nullptr || rule->keeps_batch == nullptr)
    return false;
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    const bool scalar = call.nth_input(i).shape->empty();
    if (scalar && (i == 0 || !call.nth_input(i).constant))
      return false;
  }
  try {
    rule->infer(call);  // what follows relies on a node that fits
    return rule->keeps_batch(call);
  } catch (const Misfit&) {
    return false;
  } catch (const NeedsConstant&) {
    return false;
  }
}

std::int64_t generic_operations(const Graph& graph, const Node& node) {
  const GenericCall call(graph, node);
  const GenericRule* rule = find_rule(call.op.domain, call.op.type);
  return rule->work != nullptr ? rule->work(call) : 0;
}

}  // namespace tessera::ir
