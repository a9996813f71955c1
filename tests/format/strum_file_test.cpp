// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

#include "format/strum_cases.h"

namespace tessera::format {
namespace {

using ::testing::HasSubstr;

TEST(StrumFile, EveryLayerSurvivesTheRoundTrip) {
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    const std::vector<std::byte> bytes = write_packed(packed);
    ASSERT_EQ(bytes.size(), 40 + packed.bits.size());
    ASSERT_EQ(read_packed(bytes), packed) << to_string(c.scheme) << " seed " << seed;
  }
}

// docs/strum.md, byte by byte; computed by hand. Sixteen weights 1, -2, 3 … -16, half of them low:
// with MIP2Q's l2 mask 1, 2, 4, 8 and 16 (no error), then 3, 5 and 7 (an error of 1).
TEST(StrumFile, Bytes) {
  std::vector<std::int8_t> codes;
  for (int i = 1; i <= 16; ++i)
    codes.push_back(static_cast<std::int8_t>(i % 2 == 1 ? i : -i));
  const auto bytes = write_packed(strum_encode(codes, {.inputs = 16}, {}));
  const std::vector<int> expected = {
      'S',     'T',  'R',      'M', 1,        0,  // version 1
      2,       7,    0,        1,                 // MIP2Q, L = 7, no options, l2
      0xF4,    1,    1,        0,   16,       0,  // p = 0.500, blocks of 1x16
      0,       8,    0,        0,                 // no shift, 8-bit activations
      1,       0,    0,        0,   16,       0,  0,        0,
      1,       0,    0,        0,                                // 1 output, 16 inputs, 1 position
      14,      0,    0,        0,   0,        0,  0,        0,   // bytes that follow
      0x20,    0x7F,                                             // high: place 5, and 8 to 14
      256 - 6, 9,    256 - 10, 11,  256 - 12, 13, 256 - 14, 15,  // the high weights
      0x90,    0xA1, 0x32,     0xCB};  // +2^0, -2^1; 3 as +2^1, -2^2; 5 as 2^2, 7 as 2^3; -2^3,
                                       // -2^4
  std::vector<int> found;
  for (const std::byte b : bytes)
    found.push_back(std::to_integer<int>(b));
  EXPECT_EQ(found, expected);
}

class Broken : public ::testing::Test {
 protected:
  static std::vector<std::byte> good(const Strum& scheme = {}, std::int64_t inputs = 24) {
    Rng rng(3);
    const WeightShape shape{.outputs = 2, .inputs = inputs, .positions = 1};
    return write_packed(strum_encode(random_codes(rng, shape.count()), shape, scheme));
  }
  static std::string message(const std::vector<std::byte>& bytes) {
    try {
      read_packed(bytes);
    } catch (const IoError& error) {
      return error.what();
    }
    return "read without an error";
  }
  static std::string with(std::size_t at, int value, std::vector<std::byte> bytes = good()) {
    bytes.at(at) = static_cast<std::byte>(value);
    return message(bytes);
  }
};

TEST_F(Broken, HeadersSayWhatIsWrongAtWhichByte) {
  EXPECT_THAT(message({}), HasSubstr("0 bytes, allowed: 40 and more"));
  EXPECT_THAT(with(0, 'X'), HasSubstr("do not begin with 'STRM'"));
  EXPECT_THAT(with(4, 2), HasSubstr("version 2, allowed: 1"));
  EXPECT_THAT(with(6, 3), HasSubstr("byte 6: the low set is 3, allowed: 0 to 2"));
  EXPECT_THAT(with(7, 8), HasSubstr("byte 7: L is 8, allowed: 0 to 7"));
  EXPECT_THAT(with(8, 4), HasSubstr("byte 8: the options is 4, allowed: 0 to 3"));
  EXPECT_THAT(with(9, 2), HasSubstr("byte 9: the mask is 2, allowed: 0 to 1"));
  EXPECT_THAT(with(11, 9), HasSubstr("byte 10: p · 1000"));
  EXPECT_THAT(with(13, 2), HasSubstr("byte 12: the block's rows is 513, allowed: 1 to 256"));
  EXPECT_THAT(with(12, 32), HasSubstr("byte 12: a block of 32x16, allowed: 256 weights"));
  EXPECT_THAT(with(14, 0), HasSubstr("byte 14: the block's columns is 0"));
  EXPECT_THAT(with(16, 1), HasSubstr("byte 16: the shift is 1, allowed: 0 to 0"));
  EXPECT_THAT(with(17, 9), HasSubstr("byte 17: activations of 9 bits, allowed: 2 to 8 or 16"));
  EXPECT_THAT(with(18, 1), HasSubstr("byte 18: the reserved number is 1"));
  EXPECT_THAT(with(20, 0), HasSubstr("byte 20: 0x24x1 weights"));
  EXPECT_THAT(with(20, 3), HasSubstr("bytes behind the header"));
  EXPECT_THAT(with(32, 0), HasSubstr("announced"));
  EXPECT_THAT(with(6, 0), HasSubstr("byte 9: the mask is 1, allowed: 0 to 0"));
  const std::vector<std::byte> dliq = good({.low = Dliq{}});
  EXPECT_THAT(with(7, 1, dliq), HasSubstr("byte 7: q is 1, allowed: 2 to 7"));
  EXPECT_THAT(with(8, 4, dliq), HasSubstr("byte 8: the grid is 4, allowed: 0 to 3"));
  EXPECT_THAT(with(16, 5, dliq), HasSubstr("byte 16: the shift is 5, allowed: 0 to 4"));
  std::vector<std::byte> sparse = good({.low = Sparsity{}});
  EXPECT_THAT(with(7, 1, sparse), HasSubstr("byte 7: the parameter is 1"));
}

TEST_F(Broken, SizesNeitherOverflowNorAllocate) {
  std::vector<std::byte> bytes = good();
  for (std::size_t i = 20; i < 32; ++i)
    bytes[i] = std::byte{0xFF};
  EXPECT_THAT(message(bytes), HasSubstr("4294967295x4294967295x4294967295 weights"));
  for (std::size_t i = 24; i < 32; ++i)
    bytes[i] = std::byte{0};
  bytes[24] = bytes[28] = std::byte{1};
  EXPECT_THAT(message(bytes), HasSubstr("bytes behind the header"));
  std::vector<std::byte> cut = good();
  cut.pop_back();
  EXPECT_THAT(message(cut), HasSubstr("bytes behind the header"));
}

TEST_F(Broken, BlocksMustBeWhatTheSchemeSays) {
  // Place 0 of block 0, of a mask with 8 of 16 low.
  std::vector<std::byte> bytes = good();
  bytes[40] ^= std::byte{1};
  EXPECT_THAT(message(bytes), HasSubstr("block 0: "));
  EXPECT_THAT(message(bytes), HasSubstr("low weights, allowed: 8"));
  // 24 inputs are a block of 16 and one of 8: its mask ends with 8 high places.
  bytes = good();
  bytes[40 + 14 + 1] ^= std::byte{0x80};
  EXPECT_THAT(message(bytes), HasSubstr("block 1: a low weight beyond the layer's edge"));
  // L = 5 has no code of exponent 7; of one low weight, the code fills the last byte.
  const Strum one{.low = Mip2q{.max_shift = 5}, .low_permille = 1000, .block_columns = 4};
  bytes = write_packed(strum_encode(std::vector<std::int8_t>(4, 1), {.inputs = 4}, one));
  bytes.at(40) = std::byte{0x70};  // mask 0000, then a code of 7
  EXPECT_THAT(message(bytes), HasSubstr("block 0: the low code 7 means nothing in strum:mip2q"));
  const Strum shifts{.low = Dliq{.bits = 7, .grid = Dliq::Grid::kBlock}, .block_columns = 8};
  bytes = write_packed(strum_encode(std::vector<std::int8_t>(8, 1), {.inputs = 8}, shifts));
  bytes.at(41) |= std::byte{7};
  EXPECT_THAT(message(bytes), HasSubstr("block 0: a shift of 7, allowed: 0 to 1"));
  bytes = write_packed(strum_encode(std::vector<std::int8_t>(8, 1), {.inputs = 8}, shifts));
  bytes.back() |= std::byte{0x80};
  EXPECT_THAT(message(bytes), HasSubstr("bits behind the last block are not zero"));
}

}  // namespace
}  // namespace tessera::format
