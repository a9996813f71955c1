// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/loop_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kProblem = R"(problem:
  version: '0.4'
  instance: {C: 3, M: 8, P: 5, R: 3, Wstride: 2, bitwidths: {Inputs: 8, Weights: 4, Outputs: 16}}
  shape:
    name: conv1d
    dimensions: [C, M, R, P]
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Wdilation, default: 1}
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]]]}
    - {name: Inputs, projection: [[[C]], [[R, Wdilation], [P, Wstride]]]}
    - {name: Outputs, projection: [[[M]], [[P]]], read_write: true}
)";

LoopProblem parse(const std::string& text) {
  return parse_loop_problem(config::parse_yaml(text, "problem.yaml"));
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

TEST(LoopProblem, ReadsTimeloopsForm) {
  const LoopProblem problem = parse(kProblem);
  EXPECT_THAT(problem.dim_names(), ElementsAre("C", "M", "R", "P"));
  EXPECT_EQ(problem.macs(), 3 * 8 * 5 * 3);
  EXPECT_THAT(problem.tensors[1].axes[1], ElementsAre(ProjectionTerm{2, 1}, ProjectionTerm{3, 2}));
  EXPECT_TRUE(problem.tensors[2].read_write);
  EXPECT_THAT(*parse_bitwidths(config::parse_yaml(kProblem, "problem.yaml"), problem),
              ElementsAre(4, 8, 16));
}

TEST(LoopProblem, DepthwiseLayersHaveGroupsInPlaceOfChannels) {
  const LoopProblem problem = conv_problem({.r = 3, .s = 3, .p = 7, .q = 7, .g = 32});
  EXPECT_EQ(problem.find_dim("C"), -1);
  EXPECT_EQ(problem.find_dim("M"), -1);
  EXPECT_EQ(problem.macs(), 32 * 9 * 49);
  EXPECT_EQ(conv_problem({.c = 2, .m = 4, .p = 7, .q = 7, .g = 8}).macs(), 8 * 8 * 49);
}

TEST(LoopProblem, ReadsInlineText) {
  EXPECT_EQ(
      parse_inline_problem("conv:C=3,M=8,R=3,S=3,P=5,Q=5,stride=2"),
      conv_problem(
          {.c = 3, .m = 8, .r = 3, .s = 3, .p = 5, .q = 5, .row_stride = 2, .column_stride = 2}));
  EXPECT_EQ(parse_inline_problem("gemm:M=10,K=20,N=3"), gemm_problem(10, 20, 3));
  const auto message = [](const char* text) -> std::string {
    try {
      parse_inline_problem(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message("cov:C=3"), HasSubstr("unknown kind of problem 'cov'; did you mean 'conv'?"));
  EXPECT_THAT(message("conv:C=0"), HasSubstr("C is '0'; allowed: a whole number from 1 up"));
  EXPECT_THAT(message("conv:C"), HasSubstr("'C' has no value"));
  EXPECT_THAT(message("conv"), HasSubstr("'conv' has no sizes"));
  EXPECT_THAT(message("conv:C=1,C=2"), HasSubstr("'C' stands twice"));
  EXPECT_THAT(message("depthwise:M=3"), HasSubstr("unknown size of depthwise 'M'"));
}

TEST(LoopProblemErrors, NameThePlaceAndWhatWouldBeRight) {
  EXPECT_THAT(error_of(kProblem, "C: 3", "C: 0"),
              HasSubstr("problem.yaml:3:17: problem.instance: found '0'; allowed: a whole number "
                        "of at least 1"));
  EXPECT_THAT(error_of(kProblem, "Wstride: 2", "Wstrid: 2"),
              HasSubstr("unknown key of the instance 'Wstrid'; did you mean 'Wstride'?"));
  EXPECT_THAT(error_of(kProblem, "C: 3, ", ""), HasSubstr("missing size of dimension 'C'"));
  EXPECT_THAT(error_of(kProblem, "[[R, Wdilation]", "[[R, Wdilaton]"),
              HasSubstr("unknown coefficient 'Wdilaton'; did you mean 'Wdilation'?"));
  EXPECT_THAT(error_of(kProblem, "[[M]], [[R]]", "[[M]], [[X]]"),
              HasSubstr("problem.yaml:11:51: problem.shape: unknown dimension 'X'"));
  EXPECT_THAT(error_of(kProblem, "data_spaces", "data_space"),
              HasSubstr("unknown key of the shape 'data_space'; did you mean 'data_spaces'?"));
  EXPECT_THAT(error_of(kProblem, "problem:", "prolem:"), HasSubstr("missing key 'problem'"));
}

}  // namespace
}  // namespace tessera::ir
