// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// Why no candidate keeps all limits: the best value of each limit, the limits that clash, and the
// least that would have to be given up. REQUIRES: candidates, none of which keeps all limits.
std::string explain_infeasible(const Limits& limits, const std::vector<Evaluated>& candidates);

}  // namespace tessera::supernet
