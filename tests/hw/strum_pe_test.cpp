// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/strum_pe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/hw/platform.h"
#include "tessera/hw/read_platform.h"

#include "small_platform.h"

namespace tessera::hw {
namespace {

using format::Dliq;
using format::Mip2q;
using format::Sparsity;
using format::Strum;
using ::testing::HasSubstr;

Quantity q(double value, double plus_minus = 0) {
  return {.value = value, .plus_minus = plus_minus, .source = "a test"};
}

// Round numbers: lanes are half of the PE; a shifter lane costs 0.1 + 0.05 L.
StrumPe pe(StrumPeKind kind, int permille = 500) {
  return {.kind = kind,
          .built_for = {.low = Mip2q{.max_shift = 6}, .low_permille = permille},
          .schemes = {Strum{.low = Mip2q{.max_shift = 6}, .low_permille = permille}},
          .lane_power_share = q(0.5),
          .lane_area_share = q(0.5),
          .shifter_power_fixed = q(0.1),
          .shifter_power_per_shift = q(0.05),
          .shifter_area_fixed = q(0.1),
          .shifter_area_per_shift = q(0.05),
          .narrow_power = q(1),
          .narrow_area = q(1),
          .gated_power = q(0.1),
          .pe_power_share = q(0.3),
          .pe_area_share = q(0.1)};
}

Strum scheme(int permille, int shift = 6) {
  return {.low = Mip2q{.max_shift = shift}, .low_permille = permille};
}

// By hand: a lane of 0.4 in place of half of the multipliers, 0.5 · (0.5 + 0.5 · 0.4) + 0.5.
TEST(StrumPe, StaticPesAreSmallerAndTakeLessEnergy) {
  const StrumPe small = pe(StrumPeKind::kStatic);
  const auto figures = strum_pe_figures(small, scheme(500));
  ASSERT_TRUE(figures.has_value());
  EXPECT_DOUBLE_EQ(figures->mac_energy, 0.85);
  EXPECT_DOUBLE_EQ(figures->area, 0.85);
  EXPECT_DOUBLE_EQ(figures->rate, 1);
}

// Multipliers alone take INT8: half the rate, and twice as long for the rest of the PE.
TEST(StrumPe, AStaticPeRunsInt8AtTheRateOfItsMultipliers) {
  const auto figures = strum_pe_figures(pe(StrumPeKind::kStatic), std::nullopt);
  EXPECT_DOUBLE_EQ(figures->rate, 0.5);
  EXPECT_DOUBLE_EQ(figures->mac_energy, 0.5 / 0.5 + 0.5);
  EXPECT_DOUBLE_EQ(strum_pe_figures(pe(StrumPeKind::kStatic), scheme(250))->rate, 0.5 / 0.75);
  EXPECT_FALSE(strum_pe_figures(pe(StrumPeKind::kStatic, 1000), std::nullopt).has_value());
  EXPECT_DOUBLE_EQ(strum_pe_figures(pe(StrumPeKind::kStatic, 1000), scheme(1000))->rate, 1);
}

// More low weights than low lanes: multipliers take the rest, since low values are INT8 values.
TEST(StrumPe, LowWeightsBeyondTheLanesAreMultiplied) {
  const auto more = strum_pe_figures(pe(StrumPeKind::kStatic), scheme(750));
  EXPECT_EQ(more->mac_energy, strum_pe_figures(pe(StrumPeKind::kStatic), scheme(500))->mac_energy);
  EXPECT_EQ(more->rate, 1);
}

// By hand: 0.5 · (0.5 + 0.5 · 0.4 + 0.5 · 0.1) + 0.5; lanes of 0.4 beside all multipliers.
TEST(StrumPe, DynamicPesAreLargerAndKeepTheirRate) {
  const auto figures = strum_pe_figures(pe(StrumPeKind::kDynamic), scheme(500));
  EXPECT_DOUBLE_EQ(figures->mac_energy, 0.875);
  EXPECT_DOUBLE_EQ(figures->area, 1.1);
  EXPECT_DOUBLE_EQ(figures->rate, 1);
  const auto plain = strum_pe_figures(pe(StrumPeKind::kDynamic), std::nullopt);
  EXPECT_DOUBLE_EQ(plain->rate, 1);
  EXPECT_DOUBLE_EQ(plain->mac_energy, 1);
}

TEST(StrumPe, RunsWhatItsLanesCanCompute) {
  const StrumPe shifters = pe(StrumPeKind::kDynamic);
  EXPECT_TRUE(strum_pe_figures(shifters, scheme(500, 5)).has_value());
  EXPECT_THAT(strum_pe_figures(shifters, scheme(500, 7)).error().detail,
              HasSubstr("a PE built for strum:mip2q,p=0.5,L=6,block=1x16/a8 does not run "
                        "strum:mip2q,p=0.5,L=7"));
  EXPECT_FALSE(strum_pe_figures(shifters, Strum{.low = Dliq{}}).has_value());
  // Zeros need no lane: of half the multiplications nothing is left but what is off.
  EXPECT_DOUBLE_EQ(strum_pe_figures(shifters, Strum{.low = Sparsity{}})->mac_energy,
                   0.5 + 0.5 * (0.5 + 0.5 * 0.1));
  StrumPe narrow = shifters;
  narrow.built_for.low = Dliq{.bits = 4};
  EXPECT_DOUBLE_EQ(strum_pe_figures(narrow, Strum{.low = Dliq{.bits = 3}})->mac_energy,
                   0.5 + 0.5 * (0.5 + 0.5 * 0.5 + 0.5 * 0.1));
  EXPECT_FALSE(strum_pe_figures(narrow, Strum{.low = Dliq{.bits = 5}}).has_value());
}

TEST(StrumPe, SavingsReachTheAcceleratorByThePesShare) {
  StrumPe uncertain = pe(StrumPeKind::kStatic);
  uncertain.pe_power_share.plus_minus = 0.1;
  const StrumSavings savings = strum_savings(uncertain, StrumPeKind::kStatic, scheme(500));
  EXPECT_DOUBLE_EQ(savings.pe_power.value, 0.15);
  EXPECT_DOUBLE_EQ(savings.accelerator_power.value, 0.3 * 0.15);
  EXPECT_DOUBLE_EQ(savings.accelerator_area.value, 0.1 * 0.15);
  EXPECT_DOUBLE_EQ(savings.pe_power.plus_minus, 0);
  EXPECT_NEAR(savings.accelerator_power.plus_minus, 0.03 * 0.15, 1e-12);
  EXPECT_EQ(savings.int8_rate, 0.5);
}

// kSmallPlatform's unit with StruM PEs of the figures above.
std::string small_with_pe(const std::string& kind, const std::string& scheme_text) {
  const std::string pe_text = "strum_pe: {kind: " + kind +
                              ", built_for: \"strum:mip2q,L=6\", schemes: [\"" + scheme_text +
                              "\"], lane_power_share: 0.5, lane_area_share: 0.5, "
                              "shifter_power_fixed: 0.1, shifter_power_per_shift: 0.05, "
                              "shifter_area_fixed: 0.1, shifter_area_per_shift: 0.05, "
                              "narrow_power: 1, narrow_area: 1, gated_power: 0.1, "
                              "pe_power_share: 0.3, pe_area_share: 0.1}\n    weight_memory";
  std::string text = broken("{format: fp16, macs_per_cycle: 16, mac: 1 pJ}",
                            "{format: int8, macs_per_cycle: 16, mac: 1 pJ}");
  const std::size_t at = text.find("weight_memory");
  return text.replace(at, std::string("weight_memory").size(), pe_text);
}

TEST(StrumPe, APlatformOffersItsModesOnIt) {
  const Platform platform = parse_platform(small_with_pe("static", "strum:mip2q,L=6"), "a.yaml");
  const auto& unit = std::get<DigitalUnit>(find_unit(platform, "npu"));
  const std::vector<DigitalMode> modes = offered_modes(unit);
  ASSERT_EQ(modes.size(), 3U);
  EXPECT_EQ(modes[0].macs_per_cycle, 8);  // int8 at half rate
  EXPECT_DOUBLE_EQ(modes[0].mac_pj.value, 1.5);
  EXPECT_EQ(modes[1].macs_per_cycle, 32);  // int4/a8 needs multipliers, too
  EXPECT_EQ(modes[2].format, format::NumberFormat{scheme(500)});
  EXPECT_EQ(modes[2].macs_per_cycle, 16);
  EXPECT_DOUBLE_EQ(modes[2].mac_pj.value, 0.85);
  EXPECT_DOUBLE_EQ(area_mm2(unit), 1 - 0.1 * 0.15);
  // Schemes that are not offered but run.
  EXPECT_TRUE(find_mode(unit, scheme(250, 3)).has_value());
  EXPECT_THAT(find_mode(unit, Strum{.low = Dliq{}}).error().detail,
              HasSubstr("unit 'npu': a PE built for strum:mip2q"));
  EXPECT_THAT(find_mode(unit, format::Float{16}).error().detail,
              HasSubstr("unit 'npu' does not run fp16; it runs int8, int4/a8, strum:mip2q"));
  // Written and read again.
  Platform again = parse_platform(write_platform(platform), "b.yaml");
  again.sha256 = platform.sha256;
  EXPECT_EQ(again, platform);
}

std::string refusal(const std::string& text) {
  try {
    parse_platform(text, "a.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "read without an error";
}

TEST(StrumPe, FilesSayWhatIsWrong) {
  EXPECT_THAT(refusal(small_with_pe("static", "strum:mip2q,L=7")),
              HasSubstr("strum_pe.schemes[0]: found 'strum:mip2q,p=0.5,L=7,block=1x16/a8': a PE "
                        "built for"));
  EXPECT_THAT(refusal(small_with_pe("static", "int8")),
              HasSubstr("found 'int8'; allowed: strum:LOWSET"));
  EXPECT_THAT(refusal(small_with_pe("static", "strum:mip2q,L=6\", \"strum:mip2q,L=6")),
              HasSubstr("strum_pe.schemes[1]: found 'strum:mip2q,p=0.5,L=6,block=1x16/a8' a second "
                        "time"));
  EXPECT_THAT(refusal(small_with_pe("moving", "strum:mip2q,L=6")), HasSubstr("'moving'"));
  std::string no_int8 = small_with_pe("static", "strum:mip2q,L=6");
  no_int8.replace(no_int8.find("format: int8"), 12, "format: int6");
  EXPECT_THAT(refusal(no_int8), HasSubstr("found no int8"));
}

}  // namespace
}  // namespace tessera::hw
