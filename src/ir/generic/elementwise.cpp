// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;

bool always(const GenericCall&) {
  return true;
}

Outputs floats(const GenericCall& call) {
  call.require(call.dtype(0) == DType::kFloat32, "input '{}' holds {}, allowed: floats",
               call.value(0).name, name(call.dtype(0)));
  return same_as_first(call);
}

Outputs to_bool(const GenericCall& call) {
  return {{call.shape(0), DType::kBool}};
}

Shape broadcast_all(const GenericCall& call) {
  Shape y = *call.nth_input(0).shape;
  for (std::size_t i = 1; i < call.inputs(); ++i)
    y = broadcast(call, y, *call.nth_input(i).shape);
  return y;
}

// All inputs of one type, which the output has.
Outputs arithmetic(const GenericCall& call) {
  for (std::size_t i = 1; i < call.inputs(); ++i) {
    call.require(call.nth_input(i).dtype == call.dtype(0), "inputs hold {} and {}",
                 name(call.dtype(0)), name(call.nth_input(i).dtype));
  }
  return {{broadcast_all(call), call.dtype(0)}};
}

// The exponent may have another type.
Outputs power(const GenericCall& call) {
  return {{broadcast_all(call), call.dtype(0)}};
}

Outputs comparison(const GenericCall& call) {
  return {{arithmetic(call)[0].shape, DType::kBool}};
}

Outputs logic(const GenericCall& call) {
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    call.require(call.nth_input(i).dtype == DType::kBool, "input '{}' holds {}, allowed: bool",
                 call.nth_input(i).name, name(call.nth_input(i).dtype));
  }
  return {{broadcast_all(call), DType::kBool}};
}

Outputs where(const GenericCall& call) {
  call.require(call.dtype(0) == DType::kBool, "the condition holds {}, allowed: bool",
               name(call.dtype(0)));
  call.require(call.dtype(1) == call.dtype(2), "inputs hold {} and {}", name(call.dtype(1)),
               name(call.dtype(2)));
  return {{broadcast_all(call), call.dtype(1)}};
}

Outputs prelu(const GenericCall& call) {
  call.require(broadcast(call, call.shape(0), call.shape(1)) == call.shape(0),
               "slope {} does not fit input {}", to_string(call.shape(1)),
               to_string(call.shape(0)));
  return floats(call);
}

Outputs clip(const GenericCall& call) {
  for (const int bound : {1, 2}) {
    if (call.has(bound)) {
      call.require(call.dtype(bound) == call.dtype(0) && element_count(call.shape(bound)) == 1,
                   "bound '{}' is {} {}, allowed: one {}", call.value(bound).name,
                   to_string(call.shape(bound)), name(call.dtype(bound)), name(call.dtype(0)));
    }
  }
  return same_as_first(call);
}

Outputs cast(const GenericCall& call) {
  const auto to = dtype_from_onnx(static_cast<int>(call.integer("to", 0)));
  call.require(to.has_value(), "cast to type {}, allowed: floats, integers, bool",
               call.integer("to", 0));
  return {{call.shape(0), *to}};
}

Outputs cast_like(const GenericCall& call) {
  return {{call.shape(0), call.dtype(1)}};
}

// At inference Dropout passes its input on; the mask is all true.
Outputs dropout(const GenericCall& call) {
  if (call.has(2)) {
    if (!call.is_constant(2))
      throw NeedsConstant{2, "training_mode"};
    const auto bytes = call.value(2).constant->bytes();
    call.require(bytes.empty() || bytes[0] == std::byte{0}, "training_mode=1 not supported");
  }
  return {{call.shape(0), call.dtype(0)}, {call.shape(0), DType::kBool}};
}

Outputs trilu(const GenericCall& call) {
  call.require(call.rank(0) >= 2, "input has shape {}, allowed: two dimensions or more",
               to_string(call.shape(0)));
  if (call.has(1))
    call.constant_integers(1, "k");
  return same_as_first(call);
}

// Work that is more than one operation for each output, counted roughly.
template <int Each>
std::int64_t per_output(const GenericCall& call) {
  return Each * one_per_output(call);
}

constexpr GenericRule kRules[] = {
    {"Abs", 1, 1, "", same_as_first, one_per_output, always},
    {"Acos", 1, 1, "", floats, one_per_output, always},
    {"Acosh", 1, 1, "", floats, one_per_output, always},
    {"Add", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"And", 2, 2, "", logic, one_per_output, aligned_batch},
    {"Asin", 1, 1, "", floats, one_per_output, always},
    {"Asinh", 1, 1, "", floats, one_per_output, always},
    {"Atan", 1, 1, "", floats, one_per_output, always},
    {"Atanh", 1, 1, "", floats, one_per_output, always},
    {"BitShift", 2, 2, "direction:s", arithmetic, one_per_output, aligned_batch},
    {"BitwiseAnd", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"BitwiseNot", 1, 1, "", same_as_first, one_per_output, always},
    {"BitwiseOr", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"BitwiseXor", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"Cast", 1, 1, "to:i saturate:i round_mode:s", cast, one_per_output, always},
    {"CastLike", 2, 2, "saturate:i round_mode:s", cast_like, one_per_output, nullptr},
    {"Ceil", 1, 1, "", floats, one_per_output, always},
    {"Celu", 1, 1, "alpha:f", floats, one_per_output, always},
    {"Clip", 1, 3, "min:f max:f", clip, one_per_output, only_first_is_activation},
    {"Cos", 1, 1, "", floats, one_per_output, always},
    {"Cosh", 1, 1, "", floats, one_per_output, always},
    {"Div", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"Dropout", 1, 3, "ratio:f seed:i is_test:i", dropout, nullptr, always, 2},
    {"Elu", 1, 1, "alpha:f", floats, one_per_output, always},
    {"Equal", 2, 2, "", comparison, one_per_output, aligned_batch},
    {"Erf", 1, 1, "", floats, one_per_output, always},
    {"Exp", 1, 1, "", floats, one_per_output, always},
    {"Floor", 1, 1, "", floats, one_per_output, always},
    {"Gelu", 1, 1, "approximate:s", floats, one_per_output, always},
    {"Greater", 2, 2, "", comparison, one_per_output, aligned_batch},
    {"GreaterOrEqual", 2, 2, "", comparison, one_per_output, aligned_batch},
    {"HardSigmoid", 1, 1, "alpha:f beta:f", floats, one_per_output, always},
    {"HardSwish", 1, 1, "", floats, one_per_output, always},
    {"Identity", 1, 1, "", same_as_first, nullptr, always},
    {"IsInf", 1, 1, "detect_negative:i detect_positive:i", to_bool, one_per_output, always},
    {"IsNaN", 1, 1, "", to_bool, one_per_output, always},
    {"LeakyRelu", 1, 1, "alpha:f", floats, one_per_output, always},
    {"Less", 2, 2, "", comparison, one_per_output, aligned_batch},
    {"LessOrEqual", 2, 2, "", comparison, one_per_output, aligned_batch},
    {"Log", 1, 1, "", floats, one_per_output, always},
    {"Max", 1, kAny, "", arithmetic, one_per_output, aligned_batch},
    {"Mean", 1, kAny, "", arithmetic, one_per_output, aligned_batch},
    {"Min", 1, kAny, "", arithmetic, one_per_output, aligned_batch},
    {"Mish", 1, 1, "", floats, one_per_output, always},
    {"Mod", 2, 2, "fmod:i", arithmetic, one_per_output, aligned_batch},
    {"Mul", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"Neg", 1, 1, "", same_as_first, one_per_output, always},
    {"Not", 1, 1, "", logic, one_per_output, always},
    {"Or", 2, 2, "", logic, one_per_output, aligned_batch},
    {"PRelu", 2, 2, "", prelu, one_per_output, aligned_batch},
    {"Pow", 2, 2, "", power, one_per_output, aligned_batch},
    {"Reciprocal", 1, 1, "", floats, one_per_output, always},
    {"Relu", 1, 1, "", same_as_first, one_per_output, always},
    {"Round", 1, 1, "", floats, one_per_output, always},
    {"Selu", 1, 1, "alpha:f gamma:f", floats, one_per_output, always},
    {"Shrink", 1, 1, "bias:f lambd:f", same_as_first, one_per_output, always},
    {"Sigmoid", 1, 1, "", floats, one_per_output, always},
    {"Sign", 1, 1, "", same_as_first, one_per_output, always},
    {"Sin", 1, 1, "", floats, one_per_output, always},
    {"Sinh", 1, 1, "", floats, one_per_output, always},
    {"Softplus", 1, 1, "", floats, one_per_output, always},
    {"Softsign", 1, 1, "", floats, one_per_output, always},
    {"Sqrt", 1, 1, "", floats, one_per_output, always},
    {"Sub", 2, 2, "", arithmetic, one_per_output, aligned_batch},
    {"Sum", 1, kAny, "", arithmetic, one_per_output, aligned_batch},
    {"Swish", 1, 1, "alpha:f", floats, one_per_output, always},
    {"Tan", 1, 1, "", floats, one_per_output, always},
    {"Tanh", 1, 1, "", floats, one_per_output, always},
    {"ThresholdedRelu", 1, 1, "alpha:f", floats, one_per_output, always},
    {"Trilu", 1, 2, "upper:i", trilu},
    {"Where", 3, 3, "", where, one_per_output, aligned_batch},
    {"Xor", 2, 2, "", logic, one_per_output, aligned_batch},
    {"BiasGelu", 2, 2, "", arithmetic, per_output<2>, aligned_batch, 1, "com.microsoft"},
    {"FastGelu", 1, 2, "", arithmetic, per_output<2>, aligned_batch, 1, "com.microsoft"},
    {"Gelu", 1, 1, "", floats, one_per_output, always, 1, "com.microsoft"},
    {"QuickGelu", 1, 1, "alpha:f", floats, one_per_output, always, 1, "com.microsoft"},
};

}  // namespace

std::span<const GenericRule> elementwise_rules() {
  return kRules;
}

bool is_pointwise(const Generic& op) {
  return std::ranges::any_of(kRules, [&](const GenericRule& rule) {
    return rule.type == op.type && rule.domain == op.domain && rule.max_outputs == 1 &&
           (rule.keeps_batch == always || rule.keeps_batch == aligned_batch);
  });
}

}  // namespace tessera::ir
