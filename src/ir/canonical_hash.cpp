// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "tessera/core/hash.h"
#include "tessera/ir/generic.h"
#include "tessera/ir/passes.h"

namespace tessera::ir {
namespace {

void add(Sha256& hash, double value) {
  hash.add(std::bit_cast<std::int64_t>(value));
}

template <typename Range>
void add_all(Sha256& hash, const Range& values) {
  hash.add(static_cast<std::int64_t>(std::size(values)));
  for (const std::int64_t value : values)
    hash.add(value);
}

std::string hash_of_constant(const Tensor& tensor) {
  Sha256 hash;
  hash.add("constant").add(name(tensor.dtype()));
  add_all(hash, tensor.shape());
  return hash.add(tensor.bytes()).hex();
}

// An operator's attributes; its name has been added before.
struct AddAttributes {
  Sha256& hash;

  void operator()(const Conv& conv) const {
    add_all(hash, conv.strides);
    add_all(hash, conv.pads);
    add_all(hash, conv.dilations);
    hash.add(conv.groups);
  }
  void operator()(const Linear&) const {}
  void operator()(const BatchNorm& norm) const { add(hash, norm.epsilon); }
  void operator()(const Unary& unary) const {
    add(hash, static_cast<double>(unary.alpha));
    add(hash, static_cast<double>(unary.beta));
  }
  void operator()(const Binary&) const {}
  void operator()(const Pool& pool) const {
    add_all(hash, pool.kernel);
    add_all(hash, pool.strides);
    add_all(hash, pool.pads);
    hash.add(std::int64_t{pool.ceil_mode});
    hash.add(std::int64_t{pool.count_include_pad});
  }
  void operator()(const GlobalPool&) const {}
  void operator()(const Flatten&) const {}
  void operator()(const Reshape& reshape) const { add_all(hash, reshape.sizes); }
  void operator()(const Concat& concat) const { hash.add(concat.axis); }
  void operator()(const Pad& pad) const {
    add_all(hash, pad.pads);
    add(hash, static_cast<double>(pad.value));
  }
  void operator()(const Softmax& softmax) const { hash.add(softmax.axis); }
  void operator()(const Generic& op) const {
    hash.add(op.domain).add(std::int64_t{form_since(op.type, op.opset)});
    add_all(hash, op.positions);
    for (const auto& [name, value] : op.attributes) {
      hash.add(name);
      std::visit([this](const auto& held) { add_value(held); }, value);
    }
  }
  void operator()(const Unknown& unknown) const { hash.add(unknown.domain); }

  void add_value(std::int64_t value) const { hash.add(value); }
  void add_value(float value) const { add(hash, static_cast<double>(value)); }
  void add_value(const std::string& value) const { hash.add(value); }
  void add_value(const std::vector<std::int64_t>& values) const { add_all(hash, values); }
  void add_value(const Tensor& value) const { hash.add(hash_of_constant(value)); }
  template <typename T>
  void add_value(const std::vector<T>& values) const {
    hash.add(static_cast<std::int64_t>(values.size()));
    for (const T& value : values)
      add_value(value);
  }
};

bool is_commutative(const Op& op) {
  const auto* binary = std::get_if<Binary>(&op);
  return binary != nullptr &&
         (binary->kind == BinaryKind::kAdd || binary->kind == BinaryKind::kMul);
}

std::string hash_of_input(const Value& value, std::size_t index) {
  Sha256 hash;
  hash.add("input").add(static_cast<std::int64_t>(index)).add(name(value.dtype));
  add_all(hash, value.shape.value_or(Shape{}));
  return hash.hex();
}

}  // namespace

// Each value's digest covers all that it is computed from, so the outputs' digests cover the
// network, and neither names nor the order of nodes enter.
std::string canonical_hash(const Graph& graph) {
  const Graph canonical = canonicalize(graph);
  std::vector<std::string> of(canonical.values().size());
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (const auto& constant = canonical.values()[i].constant)
      of[i] = hash_of_constant(*constant);
  }
  Sha256 whole;
  whole.add("tessera network 1").add(static_cast<std::int64_t>(canonical.inputs.size()));
  if (!canonical.batched)
    whole.add("fixed sizes");
  for (std::size_t i = 0; i < canonical.inputs.size(); ++i) {
    const ValueId input = canonical.inputs[i];
    of[input.index()] = hash_of_input(canonical.value(input), i);
    whole.add(of[input.index()]);
  }
  for (const Node& node : canonical.nodes()) {
    std::vector<std::string> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(of[input.index()]);
    if (is_commutative(node.op))
      std::ranges::sort(inputs);
    Sha256 hash;
    hash.add("node").add(name(node.op));
    std::visit(AddAttributes{hash}, node.op);
    for (const std::string& input : inputs)
      hash.add(input);
    const std::string digest = hash.hex();
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      of[node.outputs[i].index()] = digest + ":" + std::to_string(i);
  }
  for (const ValueId output : canonical.outputs)
    whole.add(of[output.index()]);
  return whole.hex();
}

}  // namespace tessera::ir
