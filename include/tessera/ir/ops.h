// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tessera/ir/tensor.h"

namespace tessera::ir {

// The operators of a graph. Each is a plain struct of attributes; inputs and outputs stand in the
// Node. Activations are N C H W. To add one: a struct and an entry in Op here, a rule in
// infer_shapes.cpp, its ties between widths in width_groups.cpp, a reader in onnx/import_ops.cpp, a
// writer in onnx/export.cpp and a kernel in nn/tensor/kernels.cpp; the compiler names each place
// that was forgotten, since all of them visit Op exhaustively.

// Inputs: x [N,C,H,W], w [M,C/groups,R,S], optional bias [M]. Output [N,M,P,Q] with
// P = (H + pad_top + pad_bottom - dilation*(R-1) - 1) / stride + 1.
struct Conv {
  std::array<std::int64_t, 2> strides{1, 1};
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  // top, left, bottom, right
  std::array<std::int64_t, 2> dilations{1, 1};
  std::int64_t groups = 1;
  bool operator==(const Conv&) const = default;
};

// y = x wᵀ + b. Inputs: x [..,K], w [M,K], optional bias [M]. Output [..,M].
// ONNX's Gemm and MatMul with a constant right-hand side become this.
struct Linear {
  bool operator==(const Linear&) const = default;
};

// y = γ (x - mean) / √(var + epsilon) + β over axis 1. Inputs: x, γ, β, mean, var.
struct BatchNorm {
  double epsilon = 1e-5;
  bool operator==(const BatchNorm&) const = default;
};

enum class UnaryKind {
  kIdentity,
  kRelu,
  kClip,
  kLeakyRelu,
  kSigmoid,
  kTanh,
  kHardSigmoid,
  kHardSwish
};
std::string_view name(UnaryKind kind);

// Element-wise function of one input. Clip: [alpha, beta]; LeakyRelu: slope alpha;
// HardSigmoid: max(0, min(1, alpha x + beta)).
struct Unary {
  UnaryKind kind = UnaryKind::kIdentity;
  float alpha = 0;
  float beta = 0;
  bool operator==(const Unary&) const = default;
};

enum class BinaryKind { kAdd, kSub, kMul, kDiv };
std::string_view name(BinaryKind kind);

// Element-wise function of two inputs with NumPy's broadcasting.
struct Binary {
  BinaryKind kind = BinaryKind::kAdd;
  bool operator==(const Binary&) const = default;
};

enum class PoolKind { kMax, kAverage };

// Window pooling over H and W.
struct Pool {
  PoolKind kind = PoolKind::kMax;
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> strides{1, 1};
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  // top, left, bottom, right
  bool ceil_mode = false;
  bool count_include_pad = false;
  bool operator==(const Pool&) const = default;
};

// Mean or maximum over H and W, keeping them as 1. ONNX's GlobalAveragePool, GlobalMaxPool,
// ReduceMean over the two spatial axes and AveragePool over the whole image become this.
struct GlobalPool {
  PoolKind kind = PoolKind::kAverage;
  bool operator==(const GlobalPool&) const = default;
};

// [N, ...] to [N, product of the rest]. A Reshape or Squeeze that does just this becomes Flatten.
struct Flatten {
  bool operator==(const Flatten&) const = default;
};

// New sizes behind the batch: `sizes` leaves out the batch dimension; all positive.
struct Reshape {
  std::vector<std::int64_t> sizes;
  bool operator==(const Reshape&) const = default;
};

// Joins along `axis` (not the batch).
struct Concat {
  std::int64_t axis = 1;
  bool operator==(const Concat&) const = default;
};

// Constant padding of H and W with `value`.
struct Pad {
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  // top, left, bottom, right
  float value = 0;
  bool operator==(const Pad&) const = default;
};

// Softmax over `axis` (not the batch).
struct Softmax {
  std::int64_t axis = 1;
  bool operator==(const Softmax&) const = default;
};

using Attribute = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>,
                               std::vector<float>, Tensor, std::vector<std::string>>;

// Glue kept as ONNX defines it: one line in the tables of src/ir/generic/ (attributes, shapes,
// work) and one kernel in nn/tensor/generic/. The forms of operators that have a struct of their
// own above, but not in that form (a MatMul of two activations), are kept so too.
struct Generic {
  std::string type{};    // "LayerNormalization"
  std::string domain{};  // empty: ONNX's own
  int opset = 0;         // of the file: an operator's meaning depends on it
  std::map<std::string, Attribute> attributes{};
  // For each input of the node, its position in ONNX's list; absent optional inputs leave gaps.
  std::vector<int> positions{};
  bool operator==(const Generic&) const = default;
};

// An operator that is not understood. Kept with its place so that it can be named; refused by
// everything that runs, costs or maps the graph.
struct Unknown {
  std::string domain{};
  std::string type{};
  std::string why{};  // "operator not supported", "attribute auto_pad=SAME_UPPER not supported"
  bool operator==(const Unknown&) const = default;
};

using Op = std::variant<Conv, Linear, BatchNorm, Unary, Binary, Pool, GlobalPool, Flatten, Reshape,
                        Concat, Pad, Softmax, Generic, Unknown>;

// The operator's name as a person reads it, in ONNX's words: "Conv", "Gemm", "Relu", "Add".
std::string_view name(const Op& op);

// Weight-bearing operators that a mapping assigns to units; everything else is glue.
bool is_layer(const Op& op);

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

}  // namespace tessera::ir
