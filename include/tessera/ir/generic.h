// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// The attributes of an operator that is kept as ONNX defines it; the fallback is ONNX's default.
// REQUIRES: the attribute has the type that generic_misfit() has checked.
std::int64_t integer(const Generic& op, const std::string& name, std::int64_t fallback);
float real(const Generic& op, const std::string& name, float fallback);
std::string text(const Generic& op, const std::string& name, const std::string& fallback);
std::vector<std::int64_t> integers(const Generic& op, const std::string& name,
                                   std::vector<std::int64_t> fallback);
std::vector<float> reals(const Generic& op, const std::string& name, std::vector<float> fallback);
bool has_attribute(const Generic& op, const std::string& name);

// The index into the node's inputs that holds ONNX's input `position`; none when it is absent.
std::optional<std::size_t> find_input(const Generic& op, int position);

// Pads of a window as ONNX lists them (all beginnings, then all ends), `auto_pad` resolved.
std::vector<std::int64_t> window_pads(const Generic& op, const Shape& spatial,
                                      const std::vector<std::int64_t>& kernel);
// The same for ConvTranspose, whose pads depend on `output_shape` when that is given.
std::vector<std::int64_t> transposed_pads(const Generic& op, const Shape& spatial,
                                          const std::vector<std::int64_t>& kernel);

// What Resize does along each dimension.
struct ResizePlan {
  Shape sizes;                // of the output
  std::vector<float> scales;  // output / input
};

// REQUIRES: the node holds a Resize or Upsample that shape inference has accepted.
ResizePlan resize_plan(const Graph& graph, const Node& node);

// The opset since which the operator has had the form that it has in `opset`: where a list became
// an input, or an axis another meaning. 0 for operators that have not changed so.
int form_since(std::string_view type, int opset);

// Whether `type` of `domain` is an operator that Generic can hold.
bool is_generic(std::string_view domain, std::string_view type);
// Whether each element of its one output is computed from those at the same place of its inputs, in
// NumPy's broadcasting.
bool is_pointwise(const Generic& op);
// Names of all of them, "Type" or "domain.Type", sorted.
std::vector<std::string> generic_operators();

// Whether the sizes of its outputs follow from the values of its inputs alone (NonZero), so that it
// can be folded, but not stand in a graph.
bool sizes_depend_on_values(const Generic& op);

// Why the operator cannot stand as it is: an attribute that it does not have, or of another type.
std::optional<std::string> generic_misfit(const Generic& op);

// The input position whose value an operator's sizes depend on, when that value is not constant.
struct NeedsConstant {
  int position = 0;
  std::string what;  // "shape"
};
// Checks a node that holds a Generic: none when its sizes follow from what is known. REQUIRES: its
// inputs have shapes.
std::optional<NeedsConstant> missing_constant(const Graph& graph, const Node& node);

// Whether the node leaves the outermost dimension of activations alone, so that it can run on any
// batch. REQUIRES: a Generic whose inputs have shapes.
bool keeps_batch(const Graph& graph, const Node& node);

// Element operations of the node for one run: multiply-accumulates of products, one for each output
// of element-wise functions, 0 for what only moves values.
std::int64_t generic_operations(const Graph& graph, const Node& node);

}  // namespace tessera::ir
