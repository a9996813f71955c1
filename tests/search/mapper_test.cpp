// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/mapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"
#include "tessera/hw/read_spatial.h"
#include "tessera/search/nest_table.h"

#include "support/shared_files.h"

namespace tessera::search {
namespace {

hw::SpatialUnit preset(const std::string& name) {
  return hw::load_spatial_unit(
      testing::source_file("configs/hardware/spatial/" + name + ".yaml").string(), {});
}

// A small machine with random sizes, rates, bypasses and constraints.
hw::SpatialUnit random_unit(Rng& rng) {
  hw::SpatialUnit unit;
  unit.name = "random";
  const std::int64_t mesh_x = rng.below(2) == 0 ? 4 : 2;
  const std::int64_t mesh_y = rng.below(2) == 0 ? 2 : 1;
  const auto rate = [&] { return 0.25 * static_cast<double>(1 + rng.below(40)); };
  for (int s = 0; s < 3; ++s) {
    hw::StorageLevel level;
    level.name = "L" + std::to_string(s);
    level.mesh_x = s == 0 ? mesh_x : 1;
    level.mesh_y = s == 0 ? mesh_y : 1;
    level.instances = level.mesh_x * level.mesh_y;
    level.block_words = s == 0 ? 1 : 2;
    level.read_pj = rate() * (1 + 4 * s);
    level.write_pj = rate() * (1 + 4 * s);
    level.leak_pj = rng.below(3) == 0 ? 0.01 : 0;
    if (s < 2)
      level.capacity_words = static_cast<std::int64_t>(6 + rng.below(40) * (1 + 3 * s));
    if (rng.below(2) == 0)
      level.read_bandwidth = static_cast<double>(1 + rng.below(3));
    if (rng.below(3) == 0)
      level.shared_bandwidth = static_cast<double>(2 + rng.below(3));
    if (s < 2 && rng.below(2) == 0)
      level.bypass = {rng.below(2) == 0 ? "Inputs" : "Weights"};
    else if (s < 2)
      level.keep = {"Outputs", "Inputs", "Weights"};
    level.temporal.inner = {"N", "G", "M"};
    unit.levels.push_back(level);
  }
  unit.mac.mesh_x = mesh_x * (rng.below(2) == 0 ? 2 : 1);
  unit.mac.mesh_y = mesh_y;
  unit.mac.instances = unit.mac.mesh_x * unit.mac.mesh_y;
  unit.mac.energy_pj = rate();
  return unit;
}

ir::LoopProblem random_problem(Rng& rng) {
  const auto size = [&](std::uint64_t most) {
    return static_cast<std::int64_t>(1 + rng.below(most));
  };
  switch (rng.below(3)) {
    case 0:
      return ir::gemm_problem(size(6), size(6), size(6));
    case 1:
      return ir::conv_problem({.r = size(3), .p = size(6), .g = 2 + size(3)});
    default:
      return ir::conv_problem({.c = size(3),
                               .m = size(4),
                               .r = size(3),
                               .p = size(6),
                               .row_stride = size(3),
                               .row_dilation = size(2)});
  }
}

// The bound is admissible: branch and bound finds what going through every nest finds, with sliding
// windows, strides, neighbours, throttling, leakage and bypasses.
TEST(BranchAndBound, FindsTheOptimumOfRandomSpaces) {
  Rng rng = Rng(3).split("spaces");
  int compared = 0;
  for (int i = 0; i < 150; ++i) {
    const cost::LoopNestModel model(random_problem(rng), random_unit(rng));
    const MapSpace space(model);
    if (space.size() > 60'000)
      continue;
    cost::Bits bits;
    for (int t = 0; t < 3; ++t)
      bits.tensor[t] = static_cast<int>(2 + rng.below(7));
    const cost::Pricing pricing = model.pricing(bits);
    const char* names[] = {"energy", "delay", "edp", "lla", "energy^2*delay"};
    NestSearchOptions options;
    options.objective = parse_nest_objective(names[i % 5]);
    options.search = NestSearch::kExhaustive;
    const NestSearchResult all = find_nest(space, pricing, options);
    options.search = NestSearch::kBranchAndBound;
    const NestSearchResult proven = find_nest(space, pricing, options);
    ASSERT_EQ(all.best.has_value(), proven.best.has_value()) << i;
    EXPECT_EQ(proven.gap, 0);
    if (!all.best)
      continue;
    ++compared;
    const double best = options.objective.value(all.best->summary);
    EXPECT_NEAR(options.objective.value(proven.best->summary), best, 1e-9 * best)
        << i << " " << names[i % 5] << " " << to_string(model.problem()) << "\n"
        << plan::to_text(model.decompile(all.best->nest)) << "\n"
        << plan::to_text(model.decompile(proven.best->nest));
  }
  EXPECT_GT(compared, 60);
}

TEST(BranchAndBound, TheFrontIsThatOfAllNests) {
  Rng rng = Rng(5).split("fronts");
  for (int i = 0; i < 20; ++i) {
    const cost::LoopNestModel model(random_problem(rng), random_unit(rng));
    const MapSpace space(model);
    if (space.size() > 30'000)
      continue;
    const cost::Pricing pricing = model.pricing({});
    const NestFront front = find_nest_front(space, pricing, {});
    EXPECT_TRUE(front.complete);
    for (std::int64_t n = 0; n < space.size(); ++n) {
      const auto nest = space.nest(n);
      const auto summary =
          nest ? model.evaluate(*nest, pricing)
               : Expected<cost::NestSummary, cost::Rejection>(tl::unexpected(nest.error()));
      if (!summary)
        continue;
      EXPECT_TRUE(std::ranges::any_of(front.nests, [&](const ScoredNest& point) {
        return point.summary.cycles <= summary->cycles &&
               point.summary.energy_pj <= summary->energy_pj * (1 + 1e-9);
      }));
    }
  }
}

TEST(Mapper, TheNumberOfThreadsChangesNothing) {
  const cost::LoopNestModel model(
      ir::conv_problem({.c = 16, .m = 32, .r = 3, .s = 3, .p = 28, .q = 28}),
      preset("eyeriss_like_16b"));
  const MapSpace space(model);
  const cost::Pricing pricing = model.pricing({.tensor = {4, 8, 8}});
  for (const NestSearch search : {NestSearch::kBranchAndBound, NestSearch::kRandom,
                                  NestSearch::kPruned, NestSearch::kExhaustive}) {
    NestSearchOptions options;
    options.search = search;
    options.samples = 3000;
    const NestSearchResult one = find_nest(space, pricing, options);
    options.threads = 3;
    const NestSearchResult three = find_nest(space, pricing, options);
    ASSERT_TRUE(one.best && three.best);
    EXPECT_EQ(model.decompile(one.best->nest), model.decompile(three.best->nest));
    EXPECT_EQ(one.evaluated, three.evaluated);
    EXPECT_EQ(one.valid, three.valid);
    EXPECT_EQ(one.rejections, three.rejections);
  }
}

TEST(Mapper, StopsWithTheBestSoFarAndAGap) {
  const cost::LoopNestModel model(
      ir::conv_problem({.c = 64, .m = 64, .r = 3, .s = 3, .p = 56, .q = 56}),
      preset("simba_like_16b"));
  const MapSpace space(model);
  NestSearchOptions options;
  std::stop_source stop;
  stop.request_stop();
  options.stop = stop.get_token();
  const NestSearchResult stopped = find_nest(space, model.pricing({}), options);
  EXPECT_FALSE(stopped.best);
  EXPECT_EQ(stopped.gap, 1);
}

TEST(Mapper, SaysWhyNothingFits) {
  hw::SpatialUnit unit = preset("eyeriss_like_16b");
  unit.levels[0].capacity_words = 0;
  const cost::LoopNestModel model(ir::conv_problem({.c = 4, .m = 4, .p = 4, .q = 4}), unit);
  const MapSpace space(model);
  NestSearchOptions options;
  options.search = NestSearch::kExhaustive;
  const NestSearchResult result = find_nest(space, model.pricing({}), options);
  EXPECT_FALSE(result.best);
  EXPECT_GT(result.rejections.at("capacity at psum_spad"), 0);
  const cost::Rejection rejection{cost::Rejection::Reason::kCapacity, 0, 30, 24};
  EXPECT_EQ(model.explain(rejection).detail,
            "tiles at psum_spad take 30 words, 24 are there (6 too many)");
}

TEST(Mapper, DepthwiseLayersUseGroupsWhereChannelsMay) {
  const cost::LoopNestModel model(ir::conv_problem({.r = 3, .s = 3, .p = 14, .q = 14, .g = 64}),
                                  preset("simba_like_16b"));
  const MapSpace space(model);
  const NestSearchResult result = find_nest(space, model.pricing({}), {});
  ASSERT_TRUE(result.best);
  EXPECT_EQ(result.gap, 0);
  // M = 4 below the input buffer holds for G.
  const plan::LoopNest nest = model.decompile(result.best->nest);
  EXPECT_THAT(nest.levels[3].spatial_y, ::testing::ElementsAre(plan::NestLoop{"G", 4}));
}

TEST(NestObjective, ReadsNamesAndPowers) {
  const cost::NestSummary summary{.energy_pj = 2, .cycles = 3, .last_level_accesses = 5};
  EXPECT_EQ(parse_nest_objective("edp").value(summary), 6);
  EXPECT_EQ(parse_nest_objective("energy^2*delay").value(summary), 12);
  EXPECT_EQ(parse_nest_objective("lla").value(summary), 5);
  try {
    parse_nest_objective("enrgy");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "unknown objective 'enrgy'; did you mean 'energy'? (known: energy, delay, edp, "
                 "lla)");
  }
}

TEST(NestTable, SharesPackingClassesAndSurvivesAFile) {
  const ir::LoopProblem problem = ir::conv_problem({.c = 8, .m = 8, .p = 14, .q = 14});
  NestTable table(preset("eyeriss_like_16b"), {});
  std::vector<cost::Bits> widths;
  for (int a = 2; a <= 8; ++a) {
    for (int w = 2; w <= 8; ++w)
      widths.push_back({.tensor = {w, a, a}});
  }
  const std::vector<ir::LoopProblem> problems = {problem, problem};
  table.fill(problems, widths);
  EXPECT_EQ(table.size(), 25);  // five ways to pack, for two choices
  const auto path = testing::temp_folder() / "table.json";
  table.write(path);
  NestTable other(preset("eyeriss_like_16b"), {});
  other.read(path);
  for (const cost::Bits& bits : widths) {
    ASSERT_NE(other.find(problem, bits), nullptr);
    EXPECT_EQ(*other.find(problem, bits), *table.find(problem, bits));
  }
  // Another machine has other keys.
  EXPECT_EQ(NestTable(preset("simba_like_16b"), {}).find(problem, widths[0]), nullptr);
}

}  // namespace
}  // namespace tessera::search
