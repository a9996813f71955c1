// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera::ir {

// Thrown by shape rules for a node that contradicts itself; try_infer_node() turns it into its
// answer. It never leaves this area.
struct Misfit {
  std::string what;
};

}  // namespace tessera::ir
