// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/loop_nest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"

namespace tessera::plan {
namespace {

using ::testing::HasSubstr;

NestNames names() {
  return {.dims = {"M", "K", "N"},
          .bounds = {8, 4, 6},
          .tensors = {"Weights", "Inputs", "Outputs"},
          .levels = {"spad", "DRAM"},
          .keep = {{"Weights"}, {"Weights", "Inputs", "Outputs"}}};
}

const std::string kMapping = R"(mapping:
  - {target: spad, type: datatype, keep: [Weights, Outputs], bypass: [Inputs]}
  - {target: spad, type: temporal, factors: M2 K4 N1, permutation: KMN}
  - {target: DRAM, type: spatial, factors: "M=2,N=3", permutation: NMK, split: 1}
  - {target: DRAM, type: temporal, factors: M=0 N2, permutation: [N, M]}
)";

LoopNest parse(const std::string& text) {
  return parse_loop_nest(config::parse_yaml(text, "map.yaml"), names());
}

std::string error_of(std::string text, const std::string& what, const std::string& with) {
  text.replace(text.find(what), what.size(), with);
  try {
    parse(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(LoopNest, ReadsAMapping) {
  const LoopNest nest = parse(kMapping);
  EXPECT_EQ(nest.levels[0].keep, (std::vector<std::string>{"Weights", "Outputs"}));
  EXPECT_EQ(nest.levels[0].temporal, (std::vector<NestLoop>{{"K", 4}, {"M", 2}}));
  EXPECT_EQ(nest.levels[1].spatial_x, (std::vector<NestLoop>{{"N", 3}}));
  EXPECT_EQ(nest.levels[1].spatial_y, (std::vector<NestLoop>{{"M", 2}}));
  // The factor 0 is what the others leave of M = 8.
  EXPECT_EQ(nest.levels[1].temporal, (std::vector<NestLoop>{{"N", 2}, {"M", 2}}));
}

TEST(LoopNest, WritesWhatItReads) {
  const LoopNest nest = parse(kMapping);
  EXPECT_EQ(parse(to_yaml(nest)), nest);
}

TEST(LoopNest, PrintsForPeople) {
  EXPECT_EQ(to_text(parse(kMapping)), R"(-- DRAM keeps Weights, Inputs, Outputs
for M in 0..2
  for N in 0..2
    for M in 0..2  (in parallel along Y)
      for N in 0..3  (in parallel along X)
        -- spad keeps Weights, Outputs
        for M in 0..2
          for K in 0..4
            multiply and accumulate
)");
}

TEST(LoopNestErrors, NameThePlaceAndWhatWouldBeRight) {
  EXPECT_THAT(error_of(kMapping, "K4", "K3"),
              HasSubstr("map.yaml:2:3: the factors of 'K' multiply to 3; allowed: 4"));
  EXPECT_THAT(error_of(kMapping, "M2 K4", "M3 K4"),
              HasSubstr("the factors of 'M' multiply to 6; allowed: a divisor of 8"));
  EXPECT_THAT(error_of(kMapping, "K4", "L4"), HasSubstr("map.yaml:3:45: unknown dimension 'L'"));
  EXPECT_THAT(error_of(kMapping, "target: spad, type: temporal", "target: spat, type: temporal"),
              HasSubstr("map.yaml:3:14: unknown level 'spat'; did you mean 'spad'?"));
  EXPECT_THAT(error_of(kMapping, "bypass: [Inputs]", "bypass: [Input]"),
              HasSubstr("unknown tensor 'Input'; did you mean 'Inputs'?"));
  EXPECT_THAT(error_of(kMapping, "bypass: [Inputs]", "bypass: [Weights]"),
              HasSubstr("tensor 'Weights' is both kept and bypassed"));
  EXPECT_THAT(error_of(kMapping, "type: temporal, factors: M2", "type: tempral, factors: M2"),
              HasSubstr("unknown type 'tempral'; did you mean 'temporal'?"));
  EXPECT_THAT(error_of(kMapping, "permutation: KMN", "permutaton: KMN"),
              HasSubstr("unknown key of a mapping entry 'permutaton'; did you mean"));
  EXPECT_THAT(error_of(kMapping, "K4", "K-4"), HasSubstr("found factor 'K-4'; allowed:"));
  EXPECT_THAT(error_of(kMapping, "M=0 N2", "M=0 M2"), HasSubstr("dimension 'M' stands twice"));
}

}  // namespace
}  // namespace tessera::plan
