// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops over float32 on the CPU: one pass over memory each, vectorised, spread over `threads`
// threads. No LibTorch here, so that this half compiles with flags of its own. Other devices and
// types take LibTorch's operators instead, which give the same bits. Results do not depend on the
// number of threads.

#include <cstdint>

namespace tessera::nn::detail {

// Symmetric or shifted codes with the zero point taken off: real = scale · code, code in
// [low, high]. Row r of n/rows elements has scale[r] and, unless there is one of each for all rows,
// low[r] and high[r].
struct CodeRows {
  std::int64_t rows = 1;
  const float* scale = nullptr;
  const float* low = nullptr;
  const float* high = nullptr;
  bool one_limit = true;
};

// y = x + strength · (q(x) - x) for n elements. Returns whether any value saturated. y may be x.
bool fake_quantize_loop(const float* x, float* y, std::int64_t n, const CodeRows& codes,
                        float strength, int threads);
// gx = g where x does not saturate, g · outside where it does.
void fake_quantize_backward_loop(const float* g, const float* x, float* gx, std::int64_t n,
                                 const CodeRows& codes, float outside, int threads);

// y = x clamped to ±bound, without rounding; otherwise as fake_quantize_loop.
bool clamp_loop(const float* x, float* y, std::int64_t n, float bound, float strength, int threads);
// gx = g where |x| <= bound, g · outside elsewhere; returns Σ g·sign(x) over the latter.
double clamp_backward_loop(const float* g, const float* x, float* gx, std::int64_t n, float bound,
                           float outside, int threads);

// y = x + strength · (binary16(x) - x).
void fake_float16_loop(const float* x, float* y, std::int64_t n, float strength, int threads);

// For each of `rows` rows of k weights: the scale among the candidates widest[r]·ratio with the
// least squared error of codes ±high.
struct ScaleCandidates {
  int count = 0;
  double step = 0;  // ratios 1, 1 - step, 1 - 2·step, …
};
void best_scale_loop(const float* w, std::int64_t rows, std::int64_t k, const float* widest,
                     float high, ScaleCandidates candidates, float* best, int threads);

}  // namespace tessera::nn::detail
