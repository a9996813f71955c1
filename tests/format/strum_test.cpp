// SPDX-License-Identifier: Apache-2.0
#include "tessera/format/strum.h"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/format/number_format.h"
#include "tessera/format/strum_codec.h"

#include "format/strum_cases.h"

namespace tessera::format {
namespace {

using ::testing::HasSubstr;

TEST(Strum, IsWrittenAsTheDesignSays) {
  EXPECT_EQ(to_string(NumberFormat{Strum{}}), "strum:mip2q,p=0.5,L=7,block=1x16/a8");
  EXPECT_EQ(to_string(Strum{.low = Dliq{}, .low_permille = 250}),
            "strum:dliq,p=0.25,q=4,grid=layer,block=1x16/a8");
  EXPECT_EQ(to_string(Strum{.low = Sparsity{},
                            .low_permille = 1000,
                            .block_rows = 2,
                            .block_columns = 8,
                            .activation_bits = 4}),
            "strum:sparsity,p=1,block=2x8/a4");
  EXPECT_EQ(to_string(Strum{.low = Mip2q{.max_shift = 5,
                                         .zero_code = true,
                                         .plus_128 = true,
                                         .mask = LowMask::kMagnitude},
                            .low_permille = 5}),
            "strum:mip2q,p=0.005,L=5,block=1x16,zero=1,range=full,mask=magnitude/a8");
}

TEST(Strum, EverySchemeSurvivesTheRoundTrip) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    Strum scheme = random_case(rng).scheme;
    const int widths[] = {2, 3, 4, 5, 6, 7, 8, 16};
    scheme.activation_bits = widths[rng.below(8)];
    const auto read = parse_number_format(to_string(scheme));
    ASSERT_TRUE(read.has_value()) << to_string(scheme);
    EXPECT_EQ(*read, NumberFormat{scheme});
  }
}

TEST(Strum, KeysComeInAnyOrderAndMayBeLeftOut) {
  EXPECT_EQ(*parse_strum("mip2q"), Strum{});
  EXPECT_EQ(*parse_strum("mip2q,block=1x16,L=7,p=.5/a8"), Strum{});
  EXPECT_EQ(parse_strum("sparsity,p=1.000")->low_permille, 1000);
  EXPECT_EQ(*parse_strum("dliq,mask=l2,grid=block,q=3"),
            (Strum{.low = Dliq{.bits = 3, .grid = Dliq::Grid::kBlock, .mask = LowMask::kL2}}));
}

TEST(Strum, ErrorsNameWhatWasFoundAndWhatIsAllowed) {
  const struct {
    std::string text, why;
  } cases[] = {
      {"", "the low set is ''"},
      {"int4", "the low set is 'int4'"},
      {"mip2q,p=0", "'p' is '0'"},
      {"mip2q,p=1.5", "'p' is '1.5'"},
      {"mip2q,p=0.0001", "'p' is '0.0001'"},
      {"mip2q,p=0.", "'p' is '0.'"},
      {"mip2q,p=", "'p' is ''"},
      {"mip2q,p", "'p' is ''"},
      {"mip2q,p=2", "'p' is '2'"},
      {"mip2q,L=8", "'L' is '8'"},
      {"mip2q,L=-1", "'L' is '-1'"},
      {"mip2q,q=4", "mip2q has no key 'q'"},
      {"dliq,q=8", "'q' is '8'"},
      {"dliq,grid=word", "'grid' is 'word'"},
      {"dliq,L=7", "dliq has no key 'L'"},
      {"sparsity,mask=l2", "sparsity has no key 'mask'"},
      {"mip2q,block=16", "'block' is '16'"},
      {"mip2q,block=0x16", "'block' is '0x16'"},
      {"mip2q,block=16x17", "'block' is '16x17'"},
      {"mip2q,zero=2", "'zero' is '2'"},
      {"mip2q,range=int9", "'range' is 'int9'"},
      {"mip2q,mask=l1", "'mask' is 'l1'"},
      {"mip2q,p=0.5,p=0.5", "'p' stands twice"},
      {"mip2q,,p=0.5", "mip2q has no key ''"},
      {"mip2q/8", "behind the '/' stands aA"},
      {"mip2q/a9", "activations of 9 bits"},
  };
  for (const auto& [text, why] : cases) {
    const auto read = parse_number_format("strum:" + text);
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_EQ(read.error().reason, "format");
    EXPECT_THAT(read.error().detail, HasSubstr(why)) << text;
    EXPECT_THAT(read.error().detail, HasSubstr("'strum:" + text + "'"));
    EXPECT_THAT(read.error().detail, HasSubstr("allowed: sparsity, dliq or mip2q"));
  }
}

TEST(Strum, ListsOfFormatsKeepItsCommas) {
  EXPECT_THAT(split_formats("int8, strum:mip2q,p=0.5,L=7,strum:sparsity,fp16"),
              ::testing::ElementsAre("int8", "strum:mip2q,p=0.5,L=7", "strum:sparsity", "fp16"));
}

// The published code widths: q = 1 + ceil(log2(L + 1)), and ceil(log2(2L + 3)) with a zero code.
TEST(Strum, CodeWidths) {
  for (int shift = 0; shift <= 7; ++shift) {
    EXPECT_EQ(low_code_bits(Mip2q{.max_shift = shift}),
              1 + static_cast<int>(std::ceil(std::log2(shift + 1))));
    EXPECT_EQ(low_code_bits(Mip2q{.max_shift = shift, .zero_code = true}),
              static_cast<int>(std::ceil(std::log2(2 * shift + 3))));
  }
  EXPECT_EQ(low_code_bits(Dliq{.bits = 3}), 3);
  EXPECT_EQ(low_code_bits(Sparsity{}), 0);
}

// r = (9 - p(8 - q)) / 8, computed by hand for the paper's points.
TEST(Strum, CompressionRatiosAreTheFormulas) {
  const auto ratio = [](LowSet low, int permille) {
    return compression_ratio({.low = low, .low_permille = permille});
  };
  EXPECT_EQ(ratio(Sparsity{}, 250), .875);
  EXPECT_EQ(ratio(Sparsity{}, 500), .625);
  EXPECT_EQ(ratio(Sparsity{}, 750), .375);
  EXPECT_EQ(ratio(Dliq{}, 250), 1.0);
  EXPECT_EQ(ratio(Mip2q{}, 500), .875);
  EXPECT_EQ(ratio(Mip2q{.max_shift = 5}, 500), .875);
  EXPECT_EQ(ratio(Mip2q{.max_shift = 3}, 500), .8125);
  EXPECT_EQ(ratio(Mip2q{.max_shift = 3}, 250), .96875);
  EXPECT_EQ(ratio(Dliq{.bits = 2}, 750), .5625);
  // Three bits more for each block of 16.
  EXPECT_EQ(ratio(Dliq{.grid = Dliq::Grid::kBlock}, 500), .875 + 3.0 / 128);
}

// What is written has the size that the formulas say, to the bit, whole blocks or not.
TEST(Strum, PackedLayersHaveTheStatedSize) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Rng rng(seed);
    const Case c = random_case(rng);
    const PackedWeights packed = strum_encode(c.codes, c.shape, c.scheme);
    ASSERT_EQ(static_cast<std::int64_t>(packed.bits.size()),
              (packed_bits(c.scheme, c.shape) + 7) / 8)
        << to_string(c.scheme) << " seed " << seed;
    EXPECT_EQ(stored_weight_bits(c.scheme, c.shape), packed_bits(c.scheme, c.shape));
  }
  const WeightShape whole{.outputs = 64, .inputs = 128, .positions = 9};
  EXPECT_EQ(static_cast<double>(packed_bits({}, whole)),
            compression_ratio({}) * 8 * static_cast<double>(whole.count()));
  EXPECT_EQ(stored_weight_bits(Integer{4, 8}, whole), 4 * whole.count());
}

TEST(Strum, CutBlocksRoundTheirShareHalfToEven) {
  const Strum half{};
  EXPECT_EQ(low_count(half, 16), 8);
  EXPECT_EQ(low_count(half, 1), 0);  // depthwise layers stay as they are
  EXPECT_EQ(low_count(half, 3), 2);
  EXPECT_EQ(low_count(half, 5), 2);
  EXPECT_EQ(low_count({.low_permille = 250}, 6), 2);
  EXPECT_EQ(low_count({.low_permille = 333}, 256), 85);
  EXPECT_EQ(low_count({.low_permille = 1000}, 256), 256);
}

}  // namespace
}  // namespace tessera::format
