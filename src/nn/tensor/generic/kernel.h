// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "tessera/ir/generic.h"

namespace tessera::nn {

using torch::Tensor;

// A node that holds an ir::Generic as it runs; inputs go by ONNX's positions. Shape inference has
// accepted the node, so kernels need not check again what it checks.
class KernelCall {
 public:
  KernelCall(const ir::Graph& in_graph, const ir::Node& of_node, const std::vector<Tensor>& given)
      : op(std::get<ir::Generic>(of_node.op)), graph(in_graph), node(of_node), inputs(given) {}

  const ir::Generic& op;
  const ir::Graph& graph;
  const ir::Node& node;
  const std::vector<Tensor>& inputs;  // as the node lists them

  bool has(int position) const { return ir::find_input(op, position).has_value(); }
  const Tensor& in(int position) const { return inputs.at(*ir::find_input(op, position)); }
  // The input, or an undefined tensor.
  Tensor maybe(int position) const { return has(position) ? in(position) : Tensor(); }
  std::vector<std::int64_t> values(int position) const;
  std::size_t outputs() const { return node.outputs.size(); }

  std::int64_t integer(const char* name, std::int64_t fallback) const {
    return ir::integer(op, name, fallback);
  }
  double real(const char* name, float fallback) const {
    return static_cast<double>(ir::real(op, name, fallback));
  }
  std::string text(const char* name, const char* fallback) const {
    return ir::text(op, name, fallback);
  }
  std::int64_t axis(std::int64_t fallback, std::int64_t rank) const {
    const std::int64_t axis = integer("axis", fallback);
    return axis < 0 ? axis + rank : axis;
  }
  // A list that moved from an attribute to the input `position` between opsets.
  std::optional<std::vector<std::int64_t>> list(const char* name, int position) const;
  // The type that shape inference gives the output.
  torch::ScalarType output_type(std::size_t output = 0) const;
};

using Tensors = std::vector<Tensor>;
using KernelFunction = Tensors (*)(const KernelCall&);

struct GenericKernel {
  std::string_view type;
  KernelFunction run;
  std::string_view domain{};
};

std::span<const GenericKernel> elementwise_kernels();
std::span<const GenericKernel> movement_kernels();
std::span<const GenericKernel> reduction_kernels();
std::span<const GenericKernel> product_kernels();
std::span<const GenericKernel> image_kernels();
std::span<const GenericKernel> quantized_kernels();
std::span<const GenericKernel> sequence_kernels();

}  // namespace tessera::nn
