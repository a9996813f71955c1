// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/path_space.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/supernet/ask_tell.h"

namespace tessera::supernet {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

plan::Path path(const std::string& unit, format::NumberFormat format) {
  return {{plan::Part{unit, std::move(format), {0, 8}}}};
}

std::vector<plan::Path> grid(const std::vector<int>& weights, const std::vector<int>& activations) {
  std::vector<plan::Path> paths;
  for (const int w : weights) {
    for (const int a : activations)
      paths.push_back(path("array", format::Integer{w, a}));
  }
  return paths;
}

TEST(PathSpace, EveryChoiceHasOneGenomeAndBack) {
  Space space = {grid({8, 4, 2}, {8, 4}),
                 grid({8, 4}, {8}),
                 {path("npu", format::Integer{8, 8}), path("pcm", format::Analog{"x"})}};
  std::swap(space[0][1], space[0][4]);  // any order of paths
  const PathSpace paths(space);
  EXPECT_EQ(paths.variables().size(), 6 * 2 * 2);
  EXPECT_EQ(paths.variables().blocks, (std::vector<int>{0, 0, 1, 1, 2}));
  std::set<search::Genome> genomes;
  for (int a = 0; a < 6; ++a) {
    for (int b = 0; b < 2; ++b) {
      for (int c = 0; c < 2; ++c) {
        const auto genome = paths.genome_of({a, b, c});
        ASSERT_TRUE(genome.has_value());
        EXPECT_EQ(paths.choice_of(*genome), (Choice{a, b, c}));
        genomes.insert(*genome);
      }
    }
  }
  EXPECT_EQ(genomes.size(), 24u);
}

TEST(PathSpace, WidthsAreOrderedVariablesAscending) {
  const PathSpace paths({grid({8, 2, 4}, {4, 8})});
  const auto& weights = std::get<search::ChoiceVariable>(paths.variables().variables[0]);
  EXPECT_EQ(weights.count, 3);
  EXPECT_TRUE(weights.ordered);
  const auto format_at = [&](double w, double a) {
    const Choice choice = paths.choice_of({w, a});
    return format::to_string(
        grid({8, 2, 4}, {4, 8})[static_cast<std::size_t>(choice[0])].parts[0].format);
  };
  EXPECT_EQ(format_at(0, 0), "int2/a4");
  EXPECT_EQ(format_at(1, 1), "int4/a8");
  EXPECT_EQ(format_at(2, 1), "int8");
}

TEST(PathSpace, LayersOfAGroupShareTheirWidths) {
  const Space space = {grid({8, 4}, {8, 4}), grid({8, 4}, {8, 4}), grid({8, 2}, {8})};
  const std::vector<int> groups = {0, 0, 1};
  const PathSpace paths(space, groups);
  EXPECT_EQ(paths.variables().size(), 4 * 2);
  EXPECT_TRUE(paths.genome_of({3, 3, 0}).has_value());
  EXPECT_FALSE(paths.genome_of({3, 2, 0}).has_value());
  const std::vector<int> unlike = {0, 0, 0};
  EXPECT_THROW(PathSpace(space, unlike), InternalError);
}

TEST(UniformChoices, OneForEachWidthWithTheNearestWhereItIsMissing) {
  const Space space = {grid({8, 4, 2}, {8, 4, 2}), grid({8}, {8})};
  const std::vector<Choice> uniform = uniform_choices(space);
  EXPECT_EQ(uniform, (std::vector<Choice>{{8, 0}, {4, 0}, {0, 0}}));
  EXPECT_TRUE(uniform_choices({{path("pcm", format::Analog{"x"})}}).empty());
}

TEST(Objectives, AreReadAndValued) {
  EXPECT_EQ(parse_objectives("accuracy, edp"),
            (std::vector<Objective>{Objective::kAccuracy, Objective::kEdp}));
  EXPECT_THAT([] { parse_objectives("accuracy,enrgy"); },
              ThrowsMessage<UsageError>(HasSubstr("did you mean 'energy'")));
  EXPECT_THAT([] { parse_objectives("energy,energy"); },
              ThrowsMessage<UsageError>("objectives: 'energy' stands there twice"));
  EXPECT_THAT([] { parse_objectives("energy"); },
              ThrowsMessage<UsageError>(HasSubstr("two or more of accuracy, energy")));
  Evaluated candidate;
  candidate.totals.energy_pj = 3;
  candidate.totals.latency_ns = 5;
  candidate.totals.digital_weight_bytes = 7;
  candidate.accuracy.mean = 0.5;
  EXPECT_EQ(objective_value(Objective::kAccuracy, candidate), -0.5);
  EXPECT_EQ(objective_value(Objective::kEnergy, candidate), 3);
  EXPECT_EQ(objective_value(Objective::kEdp, candidate), 15);
  EXPECT_EQ(objective_value(Objective::kLatency, candidate), 5);
  EXPECT_EQ(objective_value(Objective::kMemory, candidate), 7);
}

}  // namespace
}  // namespace tessera::supernet
