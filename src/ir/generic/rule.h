// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/ir/generic.h"

#include "../misfit.h"

namespace tessera::ir {

struct TypedShape {
  Shape shape;
  DType dtype = DType::kFloat32;
};

// A node that holds a Generic, by ONNX's positions. What contradicts itself throws Misfit, a value
// that should be constant and is not throws NeedsConstant.
class GenericCall {
 public:
  GenericCall(const Graph& graph, const Node& node)
      : op(std::get<Generic>(node.op)), graph_(graph), node_(node) {}

  const Generic& op;

  bool has(int position) const { return find_input(op, position).has_value(); }
  const Value& value(int position) const;
  const Shape& shape(int position) const { return *value(position).shape; }
  DType dtype(int position) const { return value(position).dtype; }
  std::size_t rank(int position) const { return shape(position).size(); }
  bool is_constant(int position) const { return value(position).constant.has_value(); }
  std::vector<std::int64_t> constant_integers(int position, std::string_view what) const;
  // The same for a single number.
  std::int64_t constant_integer(int position, std::string_view what) const;
  std::vector<float> constant_floats(int position, std::string_view what) const;

  // All inputs in order, absent ones left out.
  std::size_t inputs() const { return node_.inputs.size(); }
  const Value& nth_input(std::size_t i) const { return graph_.value(node_.inputs[i]); }
  std::size_t outputs() const { return node_.outputs.size(); }
  const Value& output(std::size_t i) const { return graph_.value(node_.outputs[i]); }

  std::int64_t integer(const char* name, std::int64_t fallback) const {
    return ir::integer(op, name, fallback);
  }
  // The axis within `rank` dimensions.
  std::size_t axis(std::int64_t axis, std::size_t rank) const;
  std::size_t axis_attribute(std::int64_t fallback, std::size_t rank) const {
    return axis(integer("axis", fallback), rank);
  }
  // A list that moved from an attribute to the input `position` between opsets.
  std::optional<std::vector<std::int64_t>> list(const char* name, int position) const;

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> text, Args&&... args) const {
    if (!condition)
      throw Misfit{fmt::format(text, std::forward<Args>(args)...)};
  }
  // `size` as a size: 0 or more.
  std::int64_t size(std::int64_t size) const {
    require(size >= 0, "a size of {}, allowed: 0 or more", size);
    return size;
  }

 private:
  const Graph& graph_;
  const Node& node_;
};

using InferRule = std::vector<TypedShape> (*)(const GenericCall&);
using WorkRule = std::int64_t (*)(const GenericCall&);
using BatchRule = bool (*)(const GenericCall&);

// One operator.
struct GenericRule {
  std::string_view type;
  int min_inputs = 1;
  int max_inputs = 1;  // kAny: any number
  // "name:type", parted by spaces; types are i(nteger), f(loat), s(tring), t(ensor), I, F, S
  // (lists).
  std::string_view attributes;
  InferRule infer = nullptr;        // null: sizes depend on values, so all inputs must be constants
  WorkRule work = nullptr;          // null: moves values about
  BatchRule keeps_batch = nullptr;  // null: may move or mix the batch
  int max_outputs = 1;
  std::string_view domain{};
};
inline constexpr int kAny = 1 << 16;

// Rules that several operators share.
std::vector<TypedShape> same_as_first(const GenericCall& call);
Shape broadcast(const GenericCall& call, const Shape& a, const Shape& b);
std::int64_t one_per_output(const GenericCall& call);
// Element-wise with NumPy's broadcasting: activations keep their rank and outermost size, constants
// do not reach into the batch.
bool aligned_batch(const GenericCall& call);
// The first input is the only activation, and `axis` is not the outermost.
bool only_first_is_activation(const GenericCall& call);

std::span<const GenericRule> elementwise_rules();
std::span<const GenericRule> movement_rules();
std::span<const GenericRule> reduction_rules();
std::span<const GenericRule> product_rules();
std::span<const GenericRule> image_rules();
std::span<const GenericRule> quantized_rules();
std::span<const GenericRule> sequence_rules();

const GenericRule* find_rule(std::string_view domain, std::string_view type);

}  // namespace tessera::ir
