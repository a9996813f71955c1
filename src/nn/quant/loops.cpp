// SPDX-License-Identifier: Apache-2.0
#include "nn/quant/loops.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "nn/quant/rounding.h"

namespace tessera::nn::detail {
namespace {

constexpr std::int64_t kStretch = 16384;  // elements of one piece of work: fits the second cache
// Independent sums, so that additions vectorise; their order is fixed.
constexpr std::int64_t kLanes = 16;

// Calls body(begin, end, row) for stretches of at most kStretch elements within one row.
template <typename Body>
void for_each_stretch(std::int64_t n, std::int64_t rows, int threads, const Body& body) {
  const std::int64_t row = n / rows;
  const std::int64_t per_row = (row + kStretch - 1) / kStretch;
  const std::int64_t pieces = rows * per_row;
  // Small tensors are done before a second thread would wake up.
  const int used = n < 2 * kStretch ? 1 : threads;
#pragma omp parallel for num_threads(used) schedule(static)
  for (std::int64_t i = 0; i < pieces; ++i) {
    const std::int64_t r = i / per_row;
    const std::int64_t begin = r * row + i % per_row * kStretch;
    body(begin, std::min(begin + kStretch, (r + 1) * row), r);
  }
}

struct Span {
  const float* x;
  float* y;
  std::int64_t n;
};

bool fake_quantize_span(Span span, float scale, float low, float high, float strength) {
  const auto [x, y, n] = span;
  std::int32_t saturated = 0;  // not a bool, which would keep the loops from being vectorised
  const auto outside = [=](float v) {
    return static_cast<std::int32_t>(v < low - 0.5F) | static_cast<std::int32_t>(v > high + 0.5F);
  };
  if (strength == 1.0F) {
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = x[i] / scale;
      saturated |= outside(v);
      y[i] = round_half_even(clamp_to(v, low, high)) * scale;
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = x[i] / scale;
      saturated |= outside(v);
      y[i] = x[i] + strength * (round_half_even(clamp_to(v, low, high)) * scale - x[i]);
    }
  }
  return saturated != 0;
}

double squared_error(const float* w, std::int64_t n, float scale, float high) {
  float sums[kLanes] = {};
  const auto error = [=](float x) {
    const float v = x / scale;
    const float e = v - round_half_even(clamp_to(v, -high, high));
    return e * e;
  };
  const std::int64_t whole = n / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j)
      sums[j] += error(w[i + j]);
  }
  double total = 0;
  for (const float sum : sums)
    total += static_cast<double>(sum);
  for (std::int64_t i = whole; i < n; ++i)
    total += static_cast<double>(error(w[i]));
  return total * static_cast<double>(scale) * static_cast<double>(scale);
}

float best_scale(const float* w, std::int64_t k, float widest, float high,
                 ScaleCandidates candidates) {
  float best = widest;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < candidates.count; ++i) {
    const auto scale = static_cast<float>(static_cast<double>(widest) * (1 - candidates.step * i));
    const double error = squared_error(w, k, scale, high);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

}  // namespace

bool fake_quantize_loop(const float* x, float* y, std::int64_t n, const CodeRows& codes,
                        float strength, int threads) {
  std::int32_t saturated = 0;
  for_each_stretch(n, codes.rows, threads, [&](std::int64_t b, std::int64_t e, std::int64_t r) {
    const std::int64_t limit = codes.one_limit ? 0 : r;
    if (fake_quantize_span({x + b, y + b, e - b}, codes.scale[r], codes.low[limit],
                           codes.high[limit], strength)) {
#pragma omp atomic write
      saturated = 1;
    }
  });
  return saturated != 0;
}

void fake_quantize_backward_loop(const float* g, const float* x, float* gx, std::int64_t n,
                                 const CodeRows& codes, float outside, int threads) {
  for_each_stretch(n, codes.rows, threads, [&](std::int64_t b, std::int64_t e, std::int64_t r) {
    const float scale = codes.scale[r];
    const std::int64_t limit = codes.one_limit ? 0 : r;
    const float low = codes.low[limit] - 0.5F;
    const float high = codes.high[limit] + 0.5F;
    for (std::int64_t i = b; i < e; ++i) {
      const float v = x[i] / scale;
      gx[i] = g[i] * select((v >= low) & (v <= high), 1.0F, outside);
    }
  });
}

bool clamp_loop(const float* x, float* y, std::int64_t n, float bound, float strength,
                int threads) {
  std::int32_t saturated = 0;
  for_each_stretch(n, 1, threads, [&](std::int64_t b, std::int64_t e, std::int64_t) {
    std::int32_t any = 0;
    for (std::int64_t i = b; i < e; ++i) {
      const float clamped = clamp_to(x[i], -bound, bound);
      any |= static_cast<std::int32_t>(clamped != x[i]);
      y[i] = x[i] + strength * (clamped - x[i]);
    }
    if (any != 0) {
#pragma omp atomic write
      saturated = 1;
    }
  });
  return saturated != 0;
}

double clamp_backward_loop(const float* g, const float* x, float* gx, std::int64_t n, float bound,
                           float outside, int threads) {
  // One sum for each stretch, added up in order: the same on any number of threads.
  std::vector<double> sums(static_cast<std::size_t>((n + kStretch - 1) / kStretch));
  for_each_stretch(n, 1, threads, [&](std::int64_t b, std::int64_t e, std::int64_t) {
    float lanes[kLanes] = {};
    const auto one = [=](std::int64_t i) {
      const bool clamped = (x[i] > bound) | (x[i] < -bound);
      gx[i] = g[i] * select(clamped, outside, 1.0F);
      return select(clamped, select(x[i] > 0.0F, g[i], -g[i]), 0.0F);
    };
    const std::int64_t whole = b + (e - b) / kLanes * kLanes;
    for (std::int64_t i = b; i < whole; i += kLanes) {
      for (std::int64_t j = 0; j < kLanes; ++j)
        lanes[j] += one(i + j);
    }
    double sum = 0;
    for (const float lane : lanes)
      sum += static_cast<double>(lane);
    for (std::int64_t i = whole; i < e; ++i)
      sum += static_cast<double>(one(i));
    sums[static_cast<std::size_t>(b / kStretch)] = sum;
  });
  double total = 0;
  for (const double sum : sums)
    total += sum;
  return total;
}

void fake_float16_loop(const float* x, float* y, std::int64_t n, float strength, int threads) {
  for_each_stretch(n, 1, threads, [&](std::int64_t b, std::int64_t e, std::int64_t) {
    if (strength == 1.0F) {
      for (std::int64_t i = b; i < e; ++i)
        y[i] = round_to_float16(x[i]);
    } else {
      for (std::int64_t i = b; i < e; ++i)
        y[i] = x[i] + strength * (round_to_float16(x[i]) - x[i]);
    }
  });
}

void best_scale_loop(const float* w, std::int64_t rows, std::int64_t k, const float* widest,
                     float high, ScaleCandidates candidates, float* best, int threads) {
  const int used = rows * k * candidates.count < 4 * kStretch ? 1 : threads;
#pragma omp parallel for num_threads(used) schedule(static)
  for (std::int64_t r = 0; r < rows; ++r)
    best[r] = best_scale(w + r * k, k, widest[r], high, candidates);
}

}  // namespace tessera::nn::detail
