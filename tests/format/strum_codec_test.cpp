// SPDX-License-Identifier: Apache-2.0
#include "tessera/format/strum_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"

#include "format/strum_cases.h"

namespace tessera::format {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSeeds = 1000;

// The values that low weights may take on under one shift, from the definitions alone.
std::vector<int> low_values(const LowSet& low, int shift) {
  std::set<int> values;
  if (std::holds_alternative<Sparsity>(low))
    values.insert(0);
  if (const auto* dliq = std::get_if<Dliq>(&low)) {
    for (int code = -(1 << (dliq->bits - 1)); code < 1 << (dliq->bits - 1); ++code)
      values.insert(code * (1 << shift));
  }
  if (const auto* mip2q = std::get_if<Mip2q>(&low)) {
    for (int k = 0; k <= mip2q->max_shift; ++k) {
      values.insert(-(1 << k));
      if (k < 7 || mip2q->plus_128)
        values.insert(1 << k);
    }
    if (mip2q->zero_code)
      values.insert(0);
  }
  return {values.begin(), values.end()};
}

int distance(int w, const std::vector<int>& values) {
  int least = 1000;
  for (const int value : values)
    least = std::min(least, std::abs(w - value));
  return least;
}

std::vector<int> shifts_of(const LowSet& low) {
  const auto* dliq = std::get_if<Dliq>(&low);
  if (dliq == nullptr || dliq->grid == Dliq::Grid::kLsb)
    return {0};
  if (dliq->grid == Dliq::Grid::kMsb)
    return {8 - dliq->bits};
  std::vector<int> shifts;
  for (int s = 0; s <= 8 - dliq->bits; ++s)
    shifts.push_back(s);
  return shifts;
}

bool has_own_shifts(const LowSet& low) {
  const auto* dliq = std::get_if<Dliq>(&low);
  return dliq != nullptr && dliq->grid == Dliq::Grid::kBlock;
}

// Indices of the weights of each block.
std::vector<std::vector<std::size_t>> blocks_of(const Case& c) {
  std::map<std::array<std::int64_t, 3>, std::vector<std::size_t>> blocks;
  const WeightShape& shape = c.shape;
  std::size_t i = 0;
  for (std::int64_t m = 0; m < shape.outputs; ++m) {
    for (std::int64_t n = 0; n < shape.inputs; ++n) {
      for (std::int64_t k = 0; k < shape.positions; ++k)
        blocks[{m / c.scheme.block_rows, k, n / c.scheme.block_columns}].push_back(i++);
    }
  }
  std::vector<std::vector<std::size_t>> list;
  for (auto& [place, indices] : blocks)
    list.push_back(std::move(indices));
  return list;
}

TEST(StrumCodec, HighWeightsStayAndLowOnesBecomeTheNearestValue) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    SCOPED_TRACE(to_string(c.scheme) + " seed " + std::to_string(seed));
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    const std::vector<std::int16_t> values = strum_decode(packed);
    const std::vector<std::uint8_t> mask = strum_low_mask(packed);
    for (const auto& block : blocks_of(c)) {
      int lows = 0;
      // With shifts of their own, any one must explain the whole block.
      std::set<int> fitting;
      for (const int s : shifts_of(c.scheme.low)) {
        if (has_own_shifts(c.scheme.low) || s == packed.layer_shift)
          fitting.insert(s);
      }
      for (const std::size_t i : block) {
        if (mask[i] == 0) {
          ASSERT_EQ(values[i], c.codes[i]);
          continue;
        }
        ++lows;
        std::erase_if(fitting, [&](int s) {
          return std::abs(c.codes[i] - values[i]) !=
                 distance(c.codes[i], low_values(c.scheme.low, s));
        });
      }
      ASSERT_FALSE(fitting.empty());
      ASSERT_EQ(lows, low_count(c.scheme, static_cast<int>(block.size())));
    }
  }
}

// Halves of a step, from the definition: the even multiple for DLIQ, the smaller power for MIP2Q.
TEST(StrumCodec, TiesAreBrokenAsStated) {
  const auto one = [](int w, const LowSet& low) {
    const Strum scheme{.low = low, .low_permille = 1000, .block_columns = 1};
    const std::vector<std::int8_t> codes = {static_cast<std::int8_t>(w)};
    return strum_decode(strum_encode(codes, {}, scheme))[0];
  };
  const Mip2q mip2q;
  EXPECT_EQ(one(3, mip2q), 2);
  EXPECT_EQ(one(-3, mip2q), -2);
  EXPECT_EQ(one(6, mip2q), 4);
  EXPECT_EQ(one(48, mip2q), 32);
  EXPECT_EQ(one(49, mip2q), 64);
  EXPECT_EQ(one(0, mip2q), 1);
  EXPECT_EQ(one(0, Mip2q{.zero_code = true}), 0);
  EXPECT_EQ(one(1, Mip2q{.zero_code = true}), 1);
  EXPECT_EQ(one(127, mip2q), 64);
  EXPECT_EQ(one(-127, mip2q), -128);
  EXPECT_EQ(one(127, Mip2q{.plus_128 = true}), 128);
  const Dliq msb{.bits = 4, .grid = Dliq::Grid::kMsb};
  EXPECT_EQ(one(8, msb), 0);
  EXPECT_EQ(one(9, msb), 16);
  EXPECT_EQ(one(24, msb), 32);
  EXPECT_EQ(one(-8, msb), 0);
  EXPECT_EQ(one(-24, msb), -32);
  EXPECT_EQ(one(127, msb), 112);
  EXPECT_EQ(one(-127, msb), -128);
  EXPECT_EQ(one(9, Dliq{.bits = 4, .grid = Dliq::Grid::kLsb}), 7);
  EXPECT_EQ(one(-9, Dliq{.bits = 4, .grid = Dliq::Grid::kLsb}), -8);
}

// Every mask with the right number of low weights, under every shift.
std::int64_t least_noise(const std::vector<int>& block, int lows, const LowSet& low, int shift) {
  const std::vector<int> values = low_values(low, shift);
  std::vector<std::int64_t> squares;
  for (const int w : block)
    squares.push_back(std::int64_t{distance(w, values)} * distance(w, values));
  std::int64_t least = INT64_MAX;
  for (unsigned mask = 0; mask < 1U << block.size(); ++mask) {
    if (std::popcount(mask) != lows)
      continue;
    std::int64_t noise = 0;
    for (std::size_t i = 0; i < block.size(); ++i)
      noise += (mask >> i & 1U) != 0 ? squares[i] : 0;
    least = std::min(least, noise);
  }
  return least;
}

// Under a mask from elsewhere: its weights are low, and no other shift is better for them.
TEST(StrumCodec, TakesAMaskThatIsGiven) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    SCOPED_TRACE(to_string(c.scheme) + " seed " + std::to_string(seed));
    std::vector<std::uint8_t> mask(c.codes.size(), 0);
    const auto blocks = blocks_of(c);
    for (std::vector<std::size_t> block : blocks) {
      rng.shuffle(std::span(block));
      const int lows = low_count(c.scheme, static_cast<int>(block.size()));
      for (int i = 0; i < lows; ++i)
        mask[block[static_cast<std::size_t>(i)]] = 1;
    }
    const PackedWeights packed = strum_encode_masked(c.codes, mask, c.shape, c.scheme);
    ASSERT_EQ(strum_low_mask(packed), mask);
    const auto noise = [&](const std::vector<std::size_t>& block, int shift) {
      const std::vector<int> values = low_values(c.scheme.low, shift);
      std::int64_t sum = 0;
      for (const std::size_t i : block) {
        const std::int64_t error = mask[i] != 0 ? distance(c.codes[i], values) : 0;
        sum += error * error;
      }
      return sum;
    };
    std::map<int, std::int64_t> by_shift;
    std::int64_t by_block = 0;
    for (const auto& block : blocks) {
      std::int64_t least = INT64_MAX;
      for (const int s : shifts_of(c.scheme.low)) {
        by_shift[s] += noise(block, s);
        least = std::min(least, noise(block, s));
      }
      by_block += least;
    }
    std::int64_t expected = INT64_MAX;
    for (const auto& [shift, sum] : by_shift)
      expected = std::min(expected, sum);
    ASSERT_EQ(strum_noise(c.codes, strum_decode(packed)).noise,
              has_own_shifts(c.scheme.low) ? by_block : expected);
    // The scheme's own mask makes the same bits.
    const PackedWeights plain = strum_encode(c.codes, c.shape, c.scheme);
    ASSERT_EQ(strum_encode_masked(c.codes, strum_low_mask(plain), c.shape, c.scheme), plain);
  }
}

TEST(StrumCodec, RefusesMasksOfAnotherSize) {
  const std::vector<std::int8_t> codes(16, 5);
  const WeightShape shape{.outputs = 1, .inputs = 16, .positions = 1};
  const auto refusal = [&](const std::vector<std::uint8_t>& mask) -> std::string {
    try {
      strum_encode_masked(codes, mask, shape, {});
    } catch (const InternalError& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_THAT(refusal(std::vector<std::uint8_t>(16, 1)), HasSubstr("16 low weights"));
  EXPECT_THAT(refusal(std::vector<std::uint8_t>(8, 1)), HasSubstr("a mask of 8 for 16 weights"));
}

// No mask and no shift does better than those chosen: tried out, for blocks of up to 12 weights.
TEST(StrumCodec, TheL2MaskIsTheOptimum) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    Case c = random_case(rng);
    if (mask_of(c.scheme.low) != LowMask::kL2 && !std::holds_alternative<Sparsity>(c.scheme.low))
      continue;
    const auto columns = static_cast<std::int64_t>(1 + rng.below(12));
    c.scheme.block_rows = columns <= 6 ? static_cast<int>(1 + rng.below(2)) : 1;
    c.scheme.block_columns = static_cast<int>(columns);
    c.shape = {
        .outputs = 2, .inputs = static_cast<std::int64_t>(1 + rng.below(24)), .positions = 1};
    c.codes = random_codes(rng, c.shape.count());
    SCOPED_TRACE(to_string(c.scheme) + " seed " + std::to_string(seed));
    std::map<int, std::int64_t> by_shift;
    std::int64_t by_block = 0;
    for (const auto& indices : blocks_of(c)) {
      std::vector<int> block;
      for (const std::size_t i : indices)
        block.push_back(c.codes[i]);
      const int lows = low_count(c.scheme, static_cast<int>(block.size()));
      std::int64_t least = INT64_MAX;
      for (const int s : shifts_of(c.scheme.low)) {
        const std::int64_t noise = least_noise(block, lows, c.scheme.low, s);
        by_shift[s] += noise;
        least = std::min(least, noise);
      }
      by_block += least;
    }
    std::int64_t expected = by_block;
    if (!has_own_shifts(c.scheme.low)) {
      expected = INT64_MAX;
      for (const auto& [shift, noise] : by_shift)
        expected = std::min(expected, noise);
    }
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    EXPECT_EQ(strum_noise(c.codes, strum_decode(packed)).noise, expected);
    if (!has_own_shifts(c.scheme.low)) {  // the least of equally good shifts
      EXPECT_TRUE(std::none_of(by_shift.begin(), by_shift.end(), [&](const auto& entry) {
        return entry.first < packed.layer_shift && entry.second <= expected;
      }));
    }
  }
}

// The low weights are the first of a stable sort by magnitude, and the shift the best for them.
TEST(StrumCodec, TheMagnitudeMaskTakesTheSmallest) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    if (mask_of(c.scheme.low) != LowMask::kMagnitude)
      continue;
    SCOPED_TRACE(to_string(c.scheme) + " seed " + std::to_string(seed));
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    std::vector<std::uint8_t> expected(c.codes.size(), 0);
    std::map<int, std::int64_t> by_shift;
    std::int64_t by_block = 0;
    for (auto block : blocks_of(c)) {
      std::stable_sort(block.begin(), block.end(), [&](std::size_t a, std::size_t b) {
        return std::abs(c.codes[a]) < std::abs(c.codes[b]);
      });
      block.resize(static_cast<std::size_t>(low_count(c.scheme, static_cast<int>(block.size()))));
      std::int64_t least = INT64_MAX;
      for (const int s : shifts_of(c.scheme.low)) {
        std::int64_t noise = 0;
        for (const std::size_t i : block) {
          const int error = distance(c.codes[i], low_values(c.scheme.low, s));
          noise += error * error;
        }
        by_shift[s] += noise;
        least = std::min(least, noise);
      }
      by_block += least;
      for (const std::size_t i : block)
        expected[i] = 1;
    }
    EXPECT_EQ(strum_low_mask(packed), expected);
    std::int64_t noise = by_block;
    if (!has_own_shifts(c.scheme.low)) {
      noise = INT64_MAX;
      for (const auto& [shift, error] : by_shift)
        noise = std::min(noise, error);
    }
    EXPECT_EQ(strum_noise(c.codes, strum_decode(packed)).noise, noise);
  }
}

TEST(StrumCodec, DecodedWeightsAreEncodedAgainWithoutLoss) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    const std::vector<std::int16_t> once = strum_decode(strum_encode(c.codes, c.shape, c.scheme));
    // With the magnitude mask a low weight may have grown past a high one.
    if (mask_of(c.scheme.low) == LowMask::kMagnitude &&
        !std::holds_alternative<Sparsity>(c.scheme.low))
      continue;
    if (*std::max_element(once.begin(), once.end()) > 127)
      continue;
    const std::vector<std::int8_t> codes(once.begin(), once.end());
    EXPECT_EQ(strum_decode(strum_encode(codes, c.shape, c.scheme)), once)
        << to_string(c.scheme) << " seed " << seed;
  }
}

TEST(StrumCodec, EveryWeightIsAnInt8ValueUnlessAskedOtherwise) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    const auto* mip2q = std::get_if<Mip2q>(&c.scheme.low);
    if (mip2q != nullptr && mip2q->plus_128)
      continue;
    for (const std::int16_t value : strum_decode(strum_encode(c.codes, c.shape, c.scheme))) {
      ASSERT_GE(value, -128);
      ASSERT_LE(value, 127);
    }
  }
}

// Shifting and narrow multiplying gives what multiplying with the decoded weights gives, and no
// partial sum leaves the accumulator that accumulator_bits() states.
TEST(StrumCodec, TheDotProductEqualsDecodingAndMultiplying) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    SCOPED_TRACE(to_string(c.scheme) + " seed " + std::to_string(seed));
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    const std::vector<std::int16_t> values = strum_decode(packed);
    const std::int64_t size = c.shape.inputs * c.shape.positions;
    const std::int64_t largest = rng.below(2) == 0 ? 255 : 65535;
    std::vector<std::int32_t> x;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto a =
          static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(2 * largest + 1)));
      x.push_back(rng.below(8) == 0 ? static_cast<std::int32_t>(largest)
                                    : a - static_cast<std::int32_t>(largest));
    }
    const std::int64_t limit = std::int64_t{1} << (accumulator_bits(size, largest) - 1);
    for (std::int64_t m = 0; m < c.shape.outputs; ++m) {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < size; ++i) {
        sum += std::int64_t{values[static_cast<std::size_t>(m * size + i)]} *
               x[static_cast<std::size_t>(i)];
        ASSERT_LT(std::abs(sum), limit);
      }
      ASSERT_EQ(strum_dot(packed, m, x), sum) << "output " << m;
    }
  }
}

// Every code of every low set, one product at a time.
TEST(StrumCodec, EveryProductIsExact) {
  std::vector<std::int8_t> codes;
  for (int w = -128; w < 128; ++w)
    codes.push_back(static_cast<std::int8_t>(w));
  for (const LowSet& low : all_low_sets()) {
    const Strum scheme{.low = low, .low_permille = 1000, .block_columns = 1};
    const PackedWeights packed = strum_encode(codes, {.outputs = 256}, scheme);
    const std::vector<std::int16_t> values = strum_decode(packed);
    for (const std::int32_t x : {-255, -128, 1, 127}) {
      for (std::int64_t m = 0; m < 256; ++m)
        ASSERT_EQ(strum_dot(packed, m, std::vector{x}), values[static_cast<std::size_t>(m)] * x)
            << to_string(scheme) << " output " << m;
    }
  }
}

TEST(StrumCodec, AccumulatorsAreAsWideAsNeeded) {
  // 128 · 255 = 32640: the 16 bits of an 8x8 product.
  EXPECT_EQ(accumulator_bits(1, 255), 16);
  EXPECT_EQ(accumulator_bits(2, 255), 17);
  EXPECT_EQ(accumulator_bits(0, 255), 1);
  EXPECT_EQ(accumulator_bits(65793, 255), 32);
  EXPECT_EQ(accumulator_bits(65794, 255), 33);
  // The bound is met: weights of -128 against the largest activation.
  const Strum scheme{.low = Mip2q{.plus_128 = true}, .low_permille = 1000};
  const PackedWeights packed =
      strum_encode(std::vector<std::int8_t>(64, 127), {.inputs = 64}, scheme);
  EXPECT_EQ(strum_dot(packed, 0, std::vector<std::int32_t>(64, 255)), 64 * 128 * 255);
  EXPECT_GT(64 * 128 * 255, (1 << (accumulator_bits(64, 255) - 2)) - 1);
}

TEST(StrumCodec, Noise) {
  const std::vector<std::int8_t> codes = {3, -4, 100};
  const StrumNoise noise = strum_noise(codes, std::vector<std::int16_t>{2, -4, 110});
  EXPECT_EQ(noise.signal, 9 + 16 + 10000);
  EXPECT_EQ(noise.noise, 1 + 100);
  EXPECT_DOUBLE_EQ(noise.sqnr_db(), 10 * std::log10(10025.0 / 101));
  EXPECT_TRUE(std::isinf(strum_noise(codes, std::vector<std::int16_t>{3, -4, 100}).sqnr_db()));
}

TEST(StrumCodec, WrongSizesAreBugs) {
  EXPECT_THROW(strum_encode(std::vector<std::int8_t>(3), {.inputs = 4}, {}), InternalError);
  const PackedWeights packed = strum_encode(std::vector<std::int8_t>(4), {.inputs = 4}, {});
  EXPECT_THROW(strum_dot(packed, 1, std::vector<std::int32_t>(4)), InternalError);
  EXPECT_THROW(strum_dot(packed, 0, std::vector<std::int32_t>(3)), InternalError);
}

}  // namespace
}  // namespace tessera::format
