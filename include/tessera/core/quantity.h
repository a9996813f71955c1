// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera {

// A constant with where it comes from. `source` is a publication, "derived: …", or "assumed: …".
struct Quantity {
  double value = 0;       // in the base unit that the field's name says
  double plus_minus = 0;  // fraction: 0.1 is ±10 %
  std::string source;     // empty: not stated
  bool operator==(const Quantity&) const = default;
};

}  // namespace tessera
