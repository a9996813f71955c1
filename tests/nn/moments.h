// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>
#include <torch/types.h>

namespace tessera::nn::test {

inline constexpr std::int64_t kDraws = 200000;

inline double mean_of(const torch::Tensor& t) {
  return t.to(torch::kFloat64).mean().item<double>();
}
inline double std_of(const torch::Tensor& t) {
  return t.to(torch::kFloat64).std().item<double>();
}

// Within five standard errors of each: 5σ/√n for the mean, 5σ/√(2n) for the standard deviation of a
// normal variable.
inline void expect_moments(const torch::Tensor& draws, double mean, double sigma) {
  const auto n = static_cast<double>(draws.numel());
  EXPECT_NEAR(mean_of(draws), mean, 5 * sigma / std::sqrt(n));
  EXPECT_NEAR(std_of(draws), sigma, 5 * sigma / std::sqrt(2 * n));
}

}  // namespace tessera::nn::test
