// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/rank_correlation.h"

#include <cmath>
#include <cstdint>

#include "tessera/core/error.h"

namespace tessera::plan {

double kendall_tau(std::span<const double> a, std::span<const double> b) {
  TESSERA_CHECK(a.size() == b.size(), "{} and {} measurements", a.size(), b.size());
  std::int64_t agreement = 0;  // pairs in one order less pairs in opposite orders
  std::int64_t untied_a = 0;
  std::int64_t untied_b = 0;
  const auto sign = [](double x, double y) { return x < y ? -1 : x > y ? 1 : 0; };
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = i + 1; j < a.size(); ++j) {
      const int in_a = sign(a[i], a[j]);
      const int in_b = sign(b[i], b[j]);
      agreement += in_a * in_b;
      untied_a += in_a != 0;
      untied_b += in_b != 0;
    }
  }
  if (untied_a == 0 || untied_b == 0)
    return 0;
  return static_cast<double>(agreement) /
         std::sqrt(static_cast<double>(untied_a) * static_cast<double>(untied_b));
}

}  // namespace tessera::plan
