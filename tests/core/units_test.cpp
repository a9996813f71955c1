// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/units.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(ParseQuantity, ReadsUnits) {
  EXPECT_DOUBLE_EQ(parse_quantity("5.24 nJ", Dimension::kEnergy).value(), 5240);
  EXPECT_DOUBLE_EQ(parse_quantity("120uJ", Dimension::kEnergy).value(), 120e6);
  EXPECT_DOUBLE_EQ(parse_quantity("120 µJ", Dimension::kEnergy).value(), 120e6);
  EXPECT_DOUBLE_EQ(parse_quantity(" 40 ns ", Dimension::kTime).value(), 40);
  EXPECT_DOUBLE_EQ(parse_quantity("1d", Dimension::kTime).value(), 86400e9);
  EXPECT_DOUBLE_EQ(parse_quantity("1.5 GHz", Dimension::kFrequency).value(), 1.5);
  EXPECT_DOUBLE_EQ(parse_quantity("256 KiB", Dimension::kData).value(), 262144);
  EXPECT_DOUBLE_EQ(parse_quantity("16 GB/s", Dimension::kBandwidth).value(), 16);
  EXPECT_DOUBLE_EQ(parse_quantity("0.5 mm²", Dimension::kArea).value(), 0.5);
  EXPECT_DOUBLE_EQ(parse_quantity("10%", Dimension::kRatio).value(), 0.1);
  EXPECT_DOUBLE_EQ(parse_quantity("0.25", Dimension::kRatio).value(), 0.25);
}

TEST(ParseQuantity, RefusesWithWhatIsAllowed) {
  const auto message = [](const char* text, Dimension dimension) {
    const auto result = parse_quantity(text, dimension);
    return result ? std::string("accepted") : result.error().detail;
  };
  EXPECT_EQ(
      message("40", Dimension::kTime),
      "'40' is not a quantity of time (the unit is missing); allowed: a number with one of ps, ns, "
      "us, ms, s, min, h, d");
  EXPECT_EQ(
      message("3 nJ", Dimension::kTime),
      "'3 nJ' is not a quantity of time (unknown unit 'nJ'); allowed: a number with one of ps, ns, "
      "us, ms, s, min, h, d");
  EXPECT_NE(message("fast", Dimension::kTime).find("no finite number"), std::string::npos);
  EXPECT_NE(message("inf ns", Dimension::kTime).find("no finite number"), std::string::npos);
  EXPECT_NE(message("nan", Dimension::kRatio).find("no finite number"), std::string::npos);
  EXPECT_NE(message("", Dimension::kRatio).find("a number or a percentage"), std::string::npos);
}

TEST(FormatQuantity, ChoosesPrefix) {
  EXPECT_EQ(format_quantity(5240, Dimension::kEnergy), "5.240 nJ");
  EXPECT_EQ(format_quantity(52.4, Dimension::kEnergy), "52.40 pJ");
  EXPECT_EQ(format_quantity(524e3, Dimension::kEnergy), "524.0 nJ");
  EXPECT_EQ(format_quantity(0, Dimension::kEnergy), "0 pJ");
  EXPECT_EQ(format_quantity(1e-6, Dimension::kEnergy), "0.001 fJ");
  EXPECT_EQ(format_quantity(999.99, Dimension::kEnergy), "1.000 nJ");
  EXPECT_EQ(format_quantity(2048, Dimension::kData), "2.000 KiB");
  EXPECT_EQ(format_quantity(0.1, Dimension::kRatio), "10 %");
}

TEST(FormatQuantity, ReadsBack) {
  for (const Dimension dimension :
       {Dimension::kEnergy, Dimension::kTime, Dimension::kPower, Dimension::kArea, Dimension::kData,
        Dimension::kBandwidth, Dimension::kFrequency}) {
    for (double value = 1e-2; value < 1e9; value *= 7.3) {
      const auto back = parse_quantity(format_quantity(value, dimension), dimension);
      ASSERT_TRUE(back) << back.error().detail;
      EXPECT_NEAR(*back / value, 1, 6e-4) << format_quantity(value, dimension);
    }
  }
}

TEST(ExactQuantity, IsTheShortestThatReadsBackToTheSameBits) {
  EXPECT_EQ(exact_quantity(86400e9, Dimension::kTime), "1 d");
  EXPECT_EQ(exact_quantity(90e9, Dimension::kTime), "90 s");
  EXPECT_EQ(exact_quantity(0, Dimension::kTime), "0 ns");
  EXPECT_EQ(exact_quantity(40, Dimension::kTime), "40 ns");
  EXPECT_EQ(exact_quantity(0.05, Dimension::kRatio), "5%");
  EXPECT_EQ(exact_quantity(262144, Dimension::kData), "256 KiB");
  for (const Dimension dimension : {Dimension::kEnergy, Dimension::kTime, Dimension::kRatio}) {
    for (double value = 1e-3; value < 1e12; value *= 7.3) {
      const auto back = parse_quantity(exact_quantity(value, dimension), dimension);
      ASSERT_TRUE(back) << back.error().detail;
      EXPECT_EQ(*back, value);
    }
  }
}

}  // namespace
}  // namespace tessera
