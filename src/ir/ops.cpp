// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/ops.h"

namespace tessera::ir {

std::string_view name(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::kIdentity:
      return "Identity";
    case UnaryKind::kRelu:
      return "Relu";
    case UnaryKind::kClip:
      return "Clip";
    case UnaryKind::kLeakyRelu:
      return "LeakyRelu";
    case UnaryKind::kSigmoid:
      return "Sigmoid";
    case UnaryKind::kTanh:
      return "Tanh";
    case UnaryKind::kHardSigmoid:
      return "HardSigmoid";
    case UnaryKind::kHardSwish:
      return "HardSwish";
  }
  return "?";
}

std::string_view name(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kAdd:
      return "Add";
    case BinaryKind::kSub:
      return "Sub";
    case BinaryKind::kMul:
      return "Mul";
    case BinaryKind::kDiv:
      return "Div";
  }
  return "?";
}

std::string_view name(const Op& op) {
  return std::visit(Overloaded{
                        [](const Conv&) -> std::string_view { return "Conv"; },
                        [](const Linear&) -> std::string_view { return "Gemm"; },
                        [](const BatchNorm&) -> std::string_view { return "BatchNormalization"; },
                        [](const Unary& unary) { return name(unary.kind); },
                        [](const Binary& binary) { return name(binary.kind); },
                        [](const Pool& pool) -> std::string_view {
                          return pool.kind == PoolKind::kMax ? "MaxPool" : "AveragePool";
                        },
                        [](const GlobalPool& pool) -> std::string_view {
                          return pool.kind == PoolKind::kMax ? "GlobalMaxPool"
                                                             : "GlobalAveragePool";
                        },
                        [](const Flatten&) -> std::string_view { return "Flatten"; },
                        [](const Reshape&) -> std::string_view { return "Reshape"; },
                        [](const Concat&) -> std::string_view { return "Concat"; },
                        [](const Pad&) -> std::string_view { return "Pad"; },
                        [](const Softmax&) -> std::string_view { return "Softmax"; },
                        [](const Generic& generic) -> std::string_view { return generic.type; },
                        [](const Unknown& unknown) -> std::string_view { return unknown.type; },
                    },
                    op);
}

bool is_layer(const Op& op) {
  return std::holds_alternative<Conv>(op) || std::holds_alternative<Linear>(op);
}

}  // namespace tessera::ir
