// SPDX-License-Identifier: Apache-2.0
#include "strum_select.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tessera::format::detail {

namespace {

// Sixteen keys at a time, in the vector registers that every x86-64 and AArch64 has.
constexpr int kLanes = 16;
typedef std::int8_t Lanes __attribute__((vector_size(kLanes)));
typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
typedef std::uint16_t Halves __attribute__((vector_size(kLanes)));
typedef std::uint32_t Words __attribute__((vector_size(kLanes)));

// Lane i of the load from kBehind[kLanes - j] is -1 where i > j: "stands behind lane j".
constexpr auto kBehind = [] {
  std::array<std::int8_t, 2 * kLanes> lanes{};
  for (std::size_t i = kLanes + 1; i < lanes.size(); ++i)
    lanes[i] = -1;
  return lanes;
}();

Lanes load(const void* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

// Ranks by counting: a weight's rank is the number of weights with a smaller key, and of those with
// an equal key before it. No branches and nothing to move: for 16 weights faster than any sort.
template <int kGroups>
void select(Keys& keys, int weights, int low, LowFlags& flags) {
  // Padding stands behind all weights with no smaller key: it ranks last.
  std::fill(keys.begin() + weights, keys.begin() + kGroups * kLanes, std::int8_t{0});
  Lanes key[kGroups];
  Bytes rank[kGroups];  // up to 255
  for (int g = 0; g < kGroups; ++g) {
    key[g] = load(keys.data() + g * kLanes);
    rank[g] = Bytes{};
  }
  for (int j = 0; j < weights; ++j) {
    const Lanes other = keys[static_cast<std::size_t>(j)] - Lanes{};
    const int own = j / kLanes;
    const Lanes behind = load(kBehind.data() + kLanes - j % kLanes);
    for (int g = 0; g < kGroups; ++g) {
      // Behind j an equal key counts too: other ≤ key is other < key + 1, at most 1.
      const Lanes one_less = g == own ? behind : g > own ? Lanes{} - 1 : Lanes{};
      rank[g] -= reinterpret_cast<Bytes>(other < key[g] - one_less);
    }
  }
  for (int g = 0; g < kGroups; ++g) {
    std::array<std::uint8_t, kLanes> counts{};
    std::memcpy(counts.data(), &rank[g], kLanes);
    for (std::size_t i = 0; i < kLanes; ++i) {
      flags[static_cast<std::size_t>(g * kLanes) + i] =
          static_cast<std::uint8_t>(counts[i] < static_cast<std::uint8_t>(low));
    }
  }
}

}  // namespace

void select_low(Keys& keys, int weights, int low, LowFlags& flags) {
  const int groups = (weights + kLanes - 1) / kLanes;
  if (low == weights) {
    std::fill(flags.begin(), flags.begin() + weights, std::uint8_t{1});
    std::fill(flags.begin() + weights, flags.begin() + groups * kLanes, std::uint8_t{0});
  } else if (groups <= 1) {
    select<1>(keys, weights, low, flags);
  } else if (groups == 2) {
    select<2>(keys, weights, low, flags);
  } else if (groups <= 4) {
    select<4>(keys, weights, low, flags);
  } else {
    select<kLargestStrumBlock / kLanes>(keys, weights, low, flags);
  }
}

std::int32_t low_square_sum(const Keys& keys, const LowFlags& flags, int weights) {
  Words sums{};
  // Whole groups, whose flags are 0 beyond the weights.
  for (int first = 0; first < weights; first += kLanes) {
    Bytes value;
    Bytes flag;
    std::memcpy(&value, keys.data() + first, sizeof(value));
    std::memcpy(&flag, flags.data() + first, sizeof(flag));
    const auto low = std::bit_cast<Halves>((value + std::uint8_t{kKeyOffset}) & -flag);
    const Halves even = low & 0xFF;
    const Halves odd = low >> 8;
    const auto squares = std::bit_cast<Words>(even * even + odd * odd);  // each at most 2 · 128²
    sums += (squares & 0xFFFF) + (squares >> 16);
  }
  return static_cast<std::int32_t>(sums[0] + sums[1] + sums[2] + sums[3]);
}

}  // namespace tessera::format::detail
