// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "tessera/ir/ops.h"

namespace tessera::ir {

// How many inputs and outputs an operator takes.
struct Arity {
  std::size_t min_inputs;
  std::size_t max_inputs;
  std::size_t min_outputs = 1;
  std::size_t max_outputs = 1;
};

// Of a Generic: as many as it has, where they are those of its rule.
Arity generic_arity(const Generic& op);

inline Arity arity(const Op& op) {
  constexpr std::size_t kAny = SIZE_MAX;
  return std::visit(Overloaded{
                        [](const Conv&) {
                          return Arity{2, 3};
                        },
                        [](const Linear&) {
                          return Arity{2, 3};
                        },
                        [](const BatchNorm&) {
                          return Arity{5, 5};
                        },
                        [](const Unary&) {
                          return Arity{1, 1};
                        },
                        [](const Binary&) {
                          return Arity{2, 2};
                        },
                        [](const Pool&) {
                          return Arity{1, 1};
                        },
                        [](const GlobalPool&) {
                          return Arity{1, 1};
                        },
                        [](const Flatten&) {
                          return Arity{1, 1};
                        },
                        [](const Reshape&) {
                          return Arity{1, 1};
                        },
                        [](const Concat&) {
                          return Arity{1, kAny};
                        },
                        [](const Pad&) {
                          return Arity{1, 1};
                        },
                        [](const Softmax&) {
                          return Arity{1, 1};
                        },
                        [](const Generic& generic) { return generic_arity(generic); },
                        [](const Unknown&) {
                          return Arity{0, kAny, 0, kAny};
                        },
                    },
                    op);
}

}  // namespace tessera::ir
