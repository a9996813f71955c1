// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "node_reader.h"

namespace tessera::onnx {

// Constants with more elements than this are not folded: a broken file must not exhaust memory.
inline constexpr std::int64_t kMostFolded = std::int64_t{1} << 26;

// The value of a node that is constant at import: Constant, the Shape of something of known shape,
// and shape arithmetic (Gather, Slice, Concat, Cast, ...) over constants. None for everything else.
// Throws NotUnderstood for a Constant or a form that we cannot evaluate.
std::optional<ir::Tensor> fold_node(NodeReader& node);

// `tensor` with its dimensions in the order `perm`.
ir::Tensor transposed(const ir::Tensor& tensor, const std::vector<std::int64_t>& perm);

// The axis counted from the front; throws ImportError through `node` when it is not in the rank.
std::int64_t checked_axis(const NodeReader& node, std::int64_t axis, std::size_t rank);

// A Reshape's target with 0 (copy, unless `allow_zero`) and -1 (the rest) replaced, for a tensor of
// shape `from`. Throws ImportError through `node` when it does not fit.
ir::Shape resolve_reshape(const NodeReader& node, const ir::Shape& from, ir::Shape target,
                          bool allow_zero);

}  // namespace tessera::onnx
