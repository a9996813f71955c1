// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/rank_correlation.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tessera/core/error.h"

namespace tessera::plan {
namespace {

using Values = std::vector<double>;

TEST(KendallTau, ByHand) {
  EXPECT_EQ(kendall_tau(Values{1, 2, 3, 4}, Values{10, 20, 30, 40}), 1);
  EXPECT_EQ(kendall_tau(Values{1, 2, 3, 4}, Values{4, 3, 2, 1}), -1);
  // Five pairs agree, one does not.
  EXPECT_DOUBLE_EQ(kendall_tau(Values{1, 2, 3, 4}, Values{1, 2, 4, 3}), 4.0 / 6);
  // Of six pairs one is tied in b, the others agree: 5 / sqrt(6 · 5).
  EXPECT_DOUBLE_EQ(kendall_tau(Values{1, 2, 3, 4}, Values{1, 2, 2, 3}), 5 / std::sqrt(30.0));
}

TEST(KendallTau, IsZeroWhereNothingIsRanked) {
  EXPECT_EQ(kendall_tau(Values{1, 1, 1}, Values{1, 2, 3}), 0);
  EXPECT_EQ(kendall_tau(Values{}, Values{}), 0);
  EXPECT_THROW(kendall_tau(Values{1}, Values{}), InternalError);
}

}  // namespace
}  // namespace tessera::plan
