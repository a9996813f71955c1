// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/gaussian.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "nn/quant/rounding.h"

namespace tessera::nn::detail {
namespace {

constexpr int kLanes = 16;

std::uint64_t mix(std::uint64_t& state) {  // SplitMix64
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// xoshiro128+ in sixteen lanes, each seeded for itself. Its low bits are weak and stay unused.
struct Lanes {
  std::uint32_t s0[kLanes], s1[kLanes], s2[kLanes], s3[kLanes];

  Lanes(std::uint64_t seed, std::int64_t block) {
    std::uint64_t key = seed;
    std::uint64_t state = mix(key) ^ (static_cast<std::uint64_t>(block) * 0xd1342543de82ef95U);
    for (int i = 0; i < kLanes; ++i) {
      const std::uint64_t a = mix(state);
      const std::uint64_t b = mix(state);
      s0[i] = static_cast<std::uint32_t>(a);
      s1[i] = static_cast<std::uint32_t>(a >> 32U);
      s2[i] = static_cast<std::uint32_t>(b);
      s3[i] = static_cast<std::uint32_t>(b >> 32U) | 1U;  // never all zero
    }
  }

  void next(std::uint32_t* out) {
    for (int i = 0; i < kLanes; ++i) {
      out[i] = s0[i] + s3[i];
      const std::uint32_t t = s1[i] << 9U;
      s2[i] ^= s0[i];
      s3[i] ^= s1[i];
      s1[i] ^= s2[i];
      s0[i] ^= s3[i];
      s2[i] ^= t;
      s3[i] = std::rotl(s3[i], 11);
    }
  }
};

// ln u for normal u > 0: exponent, and 2 atanh((m-1)/(m+1)) of the mantissa m in [√½, √2). The
// series' next term is below 1e-9 there.
inline float log_of(float u) {
  constexpr float kLn2 = 0.693147181F;
  const std::int32_t bits = std::bit_cast<std::int32_t>(u);
  constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  const std::int32_t exponent = (bits - kSqrtHalf) >> 23;
  const float m = std::bit_cast<float>(bits - exponent * (1 << 23));
  const float z = (m - 1.0F) / (m + 1.0F);
  const float z2 = z * z;
  const float series =
      z * (2.0F + z2 * (2.0F / 3 + z2 * (2.0F / 5 + z2 * (2.0F / 7 + z2 * (2.0F / 9)))));
  return static_cast<float>(exponent) * kLn2 + series;
}

// Box and Muller's transform, without trigonometry beyond an eighth of a turn: the angle is uniform
// in ±π/4, then mirrored at the diagonal and at the origin by one random bit each, which covers the
// circle.
void normal_pairs(const std::uint32_t* a, const std::uint32_t* b, float* first, float* second) {
  for (int i = 0; i < kLanes; ++i) {
    const float u = static_cast<float>(static_cast<std::int32_t>(a[i] >> 8U) + 1) * 0x1p-24F;
    const float radius = std::sqrt(-2.0F * log_of(u));
    // The top two bits mirror; the 22 below them are the angle.
    const auto fraction = static_cast<std::int32_t>((b[i] >> 8U) & 0x3fffffU);
    const float angle = (static_cast<float>(fraction) + 0.5F - 0x1p21F) * (1.57079633F * 0x1p-22F);
    const float t2 = angle * angle;
    const float sine = angle * (1.0F + t2 * (-1.0F / 6 + t2 * (1.0F / 120 + t2 * (-1.0F / 5040))));
    const float cosine =
        1.0F + t2 * (-0.5F + t2 * (1.0F / 24 + t2 * (-1.0F / 720 + t2 * (1.0F / 40320))));
    const std::uint32_t sign = b[i] & 0x80000000U;
    const bool mirrored = ((b[i] >> 30U) & 1U) != 0;
    const float x = radius * select(mirrored, sine, cosine);
    const float y = radius * select(mirrored, cosine, sine);
    first[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ sign);
    second[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) ^ sign);
  }
}

}  // namespace

void fill_normal_block(std::uint64_t seed, std::int64_t block, float* values, std::int64_t n) {
  Lanes lanes(seed, block);
  std::uint32_t a[kLanes];
  std::uint32_t b[kLanes];
  for (std::int64_t i = 0; i < n; i += 2 * kLanes) {
    lanes.next(a);
    lanes.next(b);
    if (i + 2 * kLanes <= n) {
      normal_pairs(a, b, values + i, values + i + kLanes);
    } else {
      float pairs[2 * kLanes];
      normal_pairs(a, b, pairs, pairs + kLanes);
      std::copy_n(pairs, n - i, values + i);
    }
  }
}

void fill_normal(std::uint64_t seed, float* values, std::int64_t n, int threads) {
  const std::int64_t blocks = (n + kNormalBlock - 1) / kNormalBlock;
  const int used = blocks < 4 ? 1 : threads;
#pragma omp parallel for num_threads(used) schedule(static)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * kNormalBlock;
    fill_normal_block(seed, block, values + begin, std::min(kNormalBlock, n - begin));
  }
}

}  // namespace tessera::nn::detail
