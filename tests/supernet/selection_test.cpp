// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/units.h"
#include "tessera/supernet/mps.h"
#include "tessera/supernet/supernet.h"

namespace tessera::supernet {
namespace {

using ::testing::HasSubstr;

Space space_of(const std::vector<std::size_t>& counts) {
  Space space;
  for (const std::size_t count : counts)
    space.emplace_back(count);
  return space;
}

// The rows of the ablation differ in these strengths alone.
TEST(TrainingStrength, LeavesOutWhatTheAblationSays) {
  const format::NumberFormat int8 = format::Integer{8, 8};
  const format::NumberFormat analog = format::Analog{"x"};
  const auto strengths = [&](const TrainingEffects& effects) {
    return std::pair{training_strength(effects, int8, 0.3),
                     training_strength(effects, analog, 0.3)};
  };
  EXPECT_EQ(strengths({}), (std::pair{0.3, 0.3}));
  EXPECT_EQ(strengths({.quantisation = false, .noise = TrainingNoise::kNone}),
            (std::pair{0.0, 0.0}));
  EXPECT_EQ(strengths({.noise = TrainingNoise::kNone}), (std::pair{0.3, 0.0}));
  EXPECT_EQ(strengths({.noise = TrainingNoise::kFull}), (std::pair{0.3, 1.0}));
  EXPECT_EQ(strengths({.quantisation = false}), (std::pair{0.0, 0.3}));
}

TEST(StrictFair, EveryPathOfEveryLayerExactlyOnce) {
  const std::vector<std::size_t> counts(6, 4);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<Choice> choices = strict_fair_choices(counts, Rng(seed));
    ASSERT_EQ(choices.size(), 4U);
    for (std::size_t layer = 0; layer < counts.size(); ++layer) {
      std::vector<int> used;
      for (const Choice& choice : choices)
        used.push_back(choice[layer]);
      std::sort(used.begin(), used.end());
      EXPECT_EQ(used, (std::vector<int>{0, 1, 2, 3}));
    }
  }
}

TEST(StrictFair, FewerPathsAreUsedEvenly) {
  const std::vector<std::size_t> counts = {5, 2, 1};
  const std::vector<Choice> choices = strict_fair_choices(counts, Rng(1));
  ASSERT_EQ(choices.size(), 5U);
  for (std::size_t layer = 0; layer < counts.size(); ++layer) {
    std::map<int, int> used;
    for (const Choice& choice : choices)
      ++used[choice[layer]];
    EXPECT_EQ(used.size(), counts[layer]);
    for (const auto& [path, times] : used) {
      EXPECT_GE(times, static_cast<int>(5 / counts[layer]));
      EXPECT_LE(times, static_cast<int>((5 + counts[layer] - 1) / counts[layer]));
    }
  }
  EXPECT_EQ(strict_fair_choices(counts, Rng(1)), choices);
}

TEST(Selection, ProbabilitiesOfAllChoicesSumToOne) {
  const Space space = space_of({2, 3});
  Selection selection(space);
  selection.set_parameters({{0.3, -1.2}, {2, 0, -0.5}});
  double sum = 0;
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 3; ++b)
      sum += std::exp(selection.log_probability({a, b}));
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(selection.mode(), (Choice{0, 0}));
}

TEST(Selection, SamplesFollowTheDistribution) {
  const Space space = space_of({3});
  Selection selection(space);
  selection.set_parameters({{std::log(0.5), std::log(0.3), std::log(0.2)}});
  Rng rng(4);
  constexpr int kDraws = 20000;
  std::array<int, 3> exact{}, mixed{};
  for (int i = 0; i < kDraws; ++i)
    ++exact.at(static_cast<std::size_t>(selection.sample(0, rng)[0]));
  for (int i = 0; i < kDraws; ++i)
    ++mixed.at(static_cast<std::size_t>(selection.sample(0.4, rng)[0]));
  const std::array<double, 3> p = {0.5, 0.3, 0.2};
  for (std::size_t k = 0; k < 3; ++k) {
    // Binomial: five standard deviations of at most sqrt(n)/2.
    EXPECT_NEAR(exact[k], kDraws * p[k], 2.5 * std::sqrt(kDraws));
    EXPECT_NEAR(mixed[k], kDraws * (0.6 * p[k] + 0.4 / 3), 2.5 * std::sqrt(kDraws));
  }
}

TEST(Selection, MutationStaysNearItsParent) {
  const Space space = space_of(std::vector<std::size_t>(20, 4));
  const Selection selection(space);
  const Choice parent(20, 0);
  Rng rng(9);
  double changed = 0;
  for (int i = 0; i < 500; ++i) {
    const Choice child = selection.mutate(parent, 0, rng);
    changed += static_cast<double>(20 - std::count(child.begin(), child.end(), 0));
  }
  // At least one layer and two on average are drawn anew, three quarters of which change:
  // about 2.2.
  EXPECT_GT(changed / 500, 1.5);
  EXPECT_LT(changed / 500, 3);
}

TEST(Selection, FitOrdersAsTheRanksDo) {
  // The truth: each layer on path 2 costs one rank.
  const Space space = space_of({3, 3, 3});
  std::vector<Choice> choices;
  std::vector<int> ranks;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 3; ++c) {
        choices.push_back({a, b, c});
        ranks.push_back((a == 2 ? 1 : 0) + (b == 2 ? 1 : 0) + (c == 2 ? 1 : 0));
      }
    }
  }
  Selection selection(space);
  MpsOptions options;
  options.rank_steps = 60;
  const double before = selection.fit(choices, ranks, options);
  EXPECT_NEAR(before, options.margin, 1e-12)
      << "all equal: every pair is short by the whole margin";
  options.rank_steps = 1;
  const double after = selection.fit(choices, ranks, options);
  EXPECT_LT(after, 0.05 * before);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    for (std::size_t j = 0; j < choices.size(); ++j) {
      if (ranks[i] < ranks[j]) {
        EXPECT_GT(selection.log_probability(choices[i]), selection.log_probability(choices[j]));
      }
    }
  }
}

TEST(Selection, NoPairsNoChange) {
  Selection selection(space_of({2}));
  EXPECT_EQ(selection.fit({{0}, {1}}, {0, 0}, {}), 0);
  EXPECT_EQ(selection.parameters(), (std::vector<std::vector<double>>{{0, 0}}));
}

Evaluated candidate(double accuracy, double energy, double analog = 0.5) {
  Evaluated e;
  e.accuracy.mean = accuracy;
  e.totals.energy_pj = energy;
  e.totals.latency_ns = energy;
  e.totals.analog_mac_ratio = analog;
  return e;
}

TEST(Choose, BoundsAskForTheBestOnTheOtherSide) {
  const std::vector<Evaluated> all = {candidate(0.950, 100), candidate(0.946, 40),
                                      candidate(0.935, 30), candidate(0.60, 29)};
  EXPECT_EQ(choose({.min_accuracy = 0.9}, all).value(), 2U);
  EXPECT_EQ(choose({.max_energy_pj = 50}, all).value(), 1U);
  EXPECT_EQ(choose({}, all).value(), 1U);
  EXPECT_EQ(choose({.min_accuracy = 0.95}, all).value(), 0U);
}

TEST(Choose, WithoutBoundsTwoPointsAreWorthHalfTheEnergy) {
  EXPECT_EQ(choose({}, {candidate(0.95, 100), candidate(0.931, 50)}).value(), 1U);
  EXPECT_EQ(choose({}, {candidate(0.95, 100), candidate(0.929, 50)}).value(), 0U);
  // Half a point is not given for 2 % of the energy, however short the front.
  EXPECT_EQ(choose({}, {candidate(0.934, 3.38), candidate(0.939, 3.46)}).value(), 1U);
}

TEST(Choose, NamesTheLimitsThatNobodyKeeps) {
  const std::vector<Evaluated> all = {candidate(0.95, 100), candidate(0.94, 40)};
  const auto none = choose({.min_accuracy = 0.99, .max_energy_pj = 10}, all);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "limits");
  EXPECT_THAT(none.error().detail,
              HasSubstr("accuracy at least 99.00 %: best of all mappings seen is 95.00 %"));
  EXPECT_THAT(none.error().detail,
              HasSubstr("energy at most 10.00 pJ: best of all mappings seen is 40.00 pJ"));
  EXPECT_FALSE(choose({.min_accuracy = 0.5}, {}));
}

TEST(Choose, SaysWhichLimitsClashAndTheLeastRelaxation) {
  const std::vector<Evaluated> all = {candidate(0.95, 100), candidate(0.94, 40),
                                      candidate(0.90, 20)};
  // Each is kept by someone, never both by one: giving up either alone would do.
  const auto pair = choose({.min_accuracy = 0.945, .max_energy_pj = 50}, all);
  ASSERT_FALSE(pair);
  EXPECT_THAT(pair.error().detail, HasSubstr("accuracy and energy clash; least relaxation of what "
                                             "was seen: accuracy at least 94.00 %, or energy at "
                                             "most 100.0 pJ"));
  // Both out of reach: what comes nearest gives up both.
  const auto both = choose({.min_accuracy = 0.96, .max_energy_pj = 10}, all);
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().detail,
              HasSubstr("accuracy at least 90.00 % and energy at most 20.00 pJ"));
  const auto one = choose({.min_accuracy = 0.99}, all);
  ASSERT_FALSE(one);
  EXPECT_THAT(one.error().detail, HasSubstr("least relaxation of what was seen: accuracy at least "
                                            "95.00 %"));
}

// The oracle: the suggestions taken up, one at a time, are kept by someone; a hair less is not.
TEST(Choose, LeastRelaxationIsLeast) {
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Evaluated> all;
    for (int i = 0; i < 6; ++i)
      all.push_back(candidate(0.5 + 0.05 * static_cast<double>(rng.below(10)),
                              10.0 * static_cast<double>(1 + rng.below(10))));
    const Limits limits{.min_accuracy = 0.5 + 0.05 * static_cast<double>(rng.below(12)),
                        .max_energy_pj = 10.0 * static_cast<double>(rng.below(6)) + 5};
    if (choose(limits, all))
      continue;
    double least = 0;
    for (const Evaluated& e : all) {
      if (e.accuracy.mean >= *limits.min_accuracy)
        least = least == 0 ? e.totals.energy_pj : std::min(least, e.totals.energy_pj);
    }
    const std::string suggested = "energy at most " + format_quantity(least, Dimension::kEnergy);
    const std::string detail = choose(limits, all).error().detail;
    if (least == 0)
      continue;
    EXPECT_THAT(detail, HasSubstr(suggested));
    Limits relaxed = limits;
    relaxed.max_energy_pj = least;
    EXPECT_TRUE(choose(relaxed, all)) << detail;
    relaxed.max_energy_pj = least - 1;
    EXPECT_FALSE(choose(relaxed, all)) << detail;
  }
}

TEST(ConstrainedRanks, OutsideComesAfterInsideByViolation) {
  const std::vector<Evaluated> all = {candidate(0.95, 100), candidate(0.9, 50), candidate(0.89, 60),
                                      candidate(0.7, 10), candidate(0.8, 10)};
  const std::vector<int> ranks = constrained_ranks({.min_accuracy = 0.85}, all);
  EXPECT_EQ(ranks, (std::vector<int>{0, 0, 1, 3, 2}));
}

TEST(FrontMembers, UnionOfTheFrontsAgainstAccuracy) {
  std::vector<Evaluated> all = {candidate(0.95, 100, 0.1), candidate(0.9, 50, 0.2),
                                candidate(0.89, 60, 0.9), candidate(0.88, 70, 0.3)};
  // The third is on the front of accuracy against analog ratio alone, the last on none.
  EXPECT_EQ(front_members(all), (std::vector<std::size_t>{0, 1, 2}));
}

TEST(Objectives, WhatIsBoundedIsNoLongerTraded) {
  Evaluated lean, analog;
  lean.accuracy.mean = analog.accuracy.mean = 0.9;
  lean.totals.energy_pj = 1;
  lean.totals.analog_mac_ratio = 0.6;
  analog.totals.energy_pj = 2;
  analog.totals.analog_mac_ratio = 0.9;
  EXPECT_EQ(constrained_ranks({}, {lean, analog}), (std::vector<int>{0, 0}));
  EXPECT_EQ(constrained_ranks({.min_analog_mac_ratio = 0.5}, {lean, analog}),
            (std::vector<int>{0, 1}));
  EXPECT_EQ(constrained_ranks({.max_energy_pj = 5}, {lean, analog}), (std::vector<int>{1, 0}));
}

}  // namespace
}  // namespace tessera::supernet
