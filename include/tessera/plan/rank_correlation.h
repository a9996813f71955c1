// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace tessera::plan {

// Kendall's tau-b of two measurements of the same things (Biometrika 33, 1945): 1 when both rank
// them alike, -1 when in reverse, near 0 when one says nothing of the other. Ties count for
// neither; 0 when one of the two is constant. REQUIRES: equal lengths.
double kendall_tau(std::span<const double> a, std::span<const double> b);

}  // namespace tessera::plan
