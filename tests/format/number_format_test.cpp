// SPDX-License-Identifier: Apache-2.0
#include "tessera/format/number_format.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::format {
namespace {

using ::testing::HasSubstr;

TEST(NumberFormat, IsWrittenAsTheDesignSays) {
  EXPECT_EQ(to_string(Float{32}), "fp32");
  EXPECT_EQ(to_string(Float{16}), "fp16");
  EXPECT_EQ(to_string(Integer{8, 8}), "int8");
  EXPECT_EQ(to_string(Integer{4, 8}), "int4/a8");
  EXPECT_EQ(to_string(Integer{16, 16}), "int16");
  EXPECT_EQ(to_string(Integer{4, 8, 32}), "int4g32/a8");
  EXPECT_EQ(to_string(Integer{4, 4, 16}), "int4g16");
  EXPECT_EQ(to_string(Analog{"pcm-lionheart"}), "analog:pcm-lionheart");
}

TEST(NumberFormat, EveryFormatSurvivesTheRoundTrip) {
  std::vector<NumberFormat> all = {Float{32}, Float{16}, Analog{"pcm-lionheart"}, Analog{"a_1.b"}};
  for (const int weights : {2, 3, 4, 5, 6, 7, 8, 16}) {
    for (const int activations : {2, 3, 4, 5, 6, 7, 8, 16}) {
      for (const int group : {0, 8, 16, 32, 64, 128})
        all.emplace_back(Integer{weights, activations, group});
    }
  }
  for (const NumberFormat& format : all) {
    const auto read = parse_number_format(to_string(format));
    ASSERT_TRUE(read.has_value()) << to_string(format);
    EXPECT_EQ(*read, format);
  }
}

TEST(NumberFormat, EqualWidthsMayBeSpelledOut) {
  EXPECT_EQ(parse_number_format("int4/a4").value(), parse_number_format("int4").value());
}

TEST(NumberFormat, ErrorsNameWhatWasFoundAndWhatIsAllowed) {
  const struct {
    std::string text, why;
  } cases[] = {
      {"", "'': unknown"},
      {"fp8", "'fp8': unknown"},
      {"INT8", "'INT8': unknown"},
      {"int", "weights' bits are not a number"},
      {"int/a8", "weights' bits are not a number"},
      {"int08", "weights' bits are not a number"},
      {"int+8", "weights' bits are not a number"},
      {"int-8", "weights' bits are not a number"},
      {"int8 ", "weights' bits are not a number"},
      {"int99999999999", "weights' bits are not a number"},
      {"int9", "weights of 9 bits"},
      {"int1", "weights of 1 bits"},
      {"int4g", "the weights of a group are not a number"},
      {"int4g/a8", "the weights of a group are not a number"},
      {"int4gx", "the weights of a group are not a number"},
      {"int4g16g8", "the weights of a group are not a number"},
      {"int4g0", "the weights of a group are not a number"},
      {"int4g12/a8", "groups of 12 weights"},
      {"int4g256", "groups of 256 weights"},
      {"intg32", "weights' bits are not a number"},
      {"int9g32", "weights of 9 bits"},
      {"int4/a8g32", "activations' bits are not a number"},
      {"int4/", "behind the '/' stands aA"},
      {"int4/8", "behind the '/' stands aA"},
      {"int4/a", "activations' bits are not a number"},
      {"int4/a8/a8", "activations' bits are not a number"},
      {"int4/a12", "activations of 12 bits"},
      {"analog:", "preset's name is missing"},
      {"analog", "unknown"},
      {"analog:PCM", "lower-case letters"},
  };
  for (const auto& [text, why] : cases) {
    const auto read = parse_number_format(text);
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_EQ(read.error().reason, "format");
    EXPECT_THAT(read.error().detail, HasSubstr(why)) << text;
    EXPECT_THAT(read.error().detail, HasSubstr("'" + text + "'"));
    EXPECT_THAT(read.error().detail, HasSubstr("allowed: fp32, fp16, int"));
  }
}

// 3 channels of 45 weights: 4 bits each and, in groups of 16, three float32 scales a channel.
TEST(NumberFormat, StoredBitsCountTheScalesOfGroups) {
  const WeightShape shape{.outputs = 3, .inputs = 5, .positions = 9};
  EXPECT_EQ(stored_weight_bits(Integer{4, 8}, shape), 3 * 45 * 4);
  EXPECT_EQ(stored_weight_bits(Integer{4, 8, 16}, shape), 3 * 45 * 4 + 3 * 3 * 32);
  EXPECT_EQ(stored_weight_bits(Integer{4, 8, 64}, shape), 3 * 45 * 4 + 3 * 1 * 32);
  EXPECT_EQ(groups_per_channel(Integer{4, 8}, 45), 1);
}

TEST(NumberFormat, Bits) {
  EXPECT_EQ(weight_bits(Float{16}), 16);
  EXPECT_EQ(weight_bits(Integer{4, 8}), 4);
  EXPECT_EQ(weight_bits(Analog{"x"}), 0);
  EXPECT_EQ(activation_bits(Float{32}), 32);
  EXPECT_EQ(activation_bits(Integer{4, 8}), 8);
  EXPECT_EQ(activation_bits(Analog{"x"}), 8);
}

}  // namespace
}  // namespace tessera::format
