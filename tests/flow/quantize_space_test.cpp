// SPDX-License-Identifier: Apache-2.0
// Searches over formats against every choice there is (src/flow/quantize_space.h).
#include "flow/quantize_space.h"

#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/rng.h"

namespace tessera::flow {
namespace {

// Layers with INT8 alone or with cheaper, noisier formats besides; paths differ by their channels.
QuantizeChoices random_choices(Rng& rng) {
  QuantizeChoices choices;
  choices.fixed_pj = rng.uniform(0, 50);
  for (std::size_t layer = 0; layer < 5; ++layer) {
    const double signal = rng.uniform(100, 1000);
    const double int8_pj = rng.uniform(10, 100);
    auto& paths = choices.paths.emplace_back();
    auto& noise = choices.noise.emplace_back();
    auto& energy = choices.energy_pj.emplace_back();
    const auto formats = static_cast<std::int64_t>(1 + rng.below(5));
    for (std::int64_t j = 0; j < formats; ++j) {
      paths.push_back({{{"dpu", format::Integer{}, {0, j + 1}}}});
      noise.push_back({signal, j == 0 ? 0 : signal * std::exp2(-rng.uniform(1, 12))});
      energy.push_back(j == 0 ? int8_pj : int8_pj * rng.uniform(0.4, 1.0));
    }
  }
  return choices;
}

struct Sum {
  double energy_pj = 0;
  double signal = 0;  // of layers that may change
  double noise = 0;
  double relative_noise = 0;
};

Sum sum_of(const QuantizeChoices& choices, const std::vector<std::size_t>& picks) {
  Sum sum{.energy_pj = choices.fixed_pj};
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const WeightNoise& noise = choices.noise[i][picks[i]];
    sum.energy_pj += choices.energy_pj[i][picks[i]];
    sum.noise += noise.noise;
    sum.relative_noise += noise.noise / noise.signal;
    if (choices.paths[i].size() > 1)
      sum.signal += noise.signal;
  }
  return sum;
}

Sum sum_of(const QuantizeChoices& choices, const plan::Assignment& assignment) {
  std::vector<std::size_t> picks;
  for (const plan::Path& path : assignment.paths)
    picks.push_back(static_cast<std::size_t>(path.parts.front().channels.end - 1));
  return sum_of(choices, picks);
}

// The least `objective` over all choices that `fit`; none when none does.
std::optional<double> least(const QuantizeChoices& choices,
                            const std::function<double(const Sum&)>& objective,
                            const std::function<bool(const Sum&)>& fit) {
  std::optional<double> best;
  std::vector<std::size_t> picks(choices.paths.size(), 0);
  while (true) {
    const Sum sum = sum_of(choices, picks);
    if (fit(sum) && (!best || objective(sum) < *best))
      best = objective(sum);
    std::size_t layer = 0;
    while (layer < picks.size() && ++picks[layer] == choices.paths[layer].size())
      picks[layer++] = 0;
    if (layer == picks.size())
      return best;
  }
}

TEST(QuantizeSpace, ASqnrIsKeptAtTheLeastEnergy) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const QuantizeChoices choices = random_choices(rng);
    const double min_db = rng.uniform(5, 40);
    const auto kept = [&](const Sum& sum) {
      return sum.noise <= sum.signal / std::pow(10.0, min_db / 10);
    };
    const auto found = choose_for_sqnr(choices, min_db);
    ASSERT_TRUE(found.has_value());  // INT8 has no noise
    const Sum sum = sum_of(choices, found->assignment);
    EXPECT_TRUE(kept(sum));
    EXPECT_NEAR(found->energy_pj, sum.energy_pj, 1e-9 * sum.energy_pj);
    EXPECT_NEAR(sum.energy_pj,
                *least(
                    choices, [](const Sum& s) { return s.energy_pj; }, kept),
                1e-9 * sum.energy_pj);
  }
}

TEST(QuantizeSpace, AnEnergyIsKeptWithTheLeastNoise) {
  int infeasible = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const QuantizeChoices choices = random_choices(rng);
    const double int8_pj = sum_of(choices, std::vector<std::size_t>(5, 0)).energy_pj;
    const double budget = int8_pj * rng.uniform(0.5, 1.1);
    const auto kept = [&](const Sum& sum) { return sum.energy_pj <= budget; };
    const auto expected = least(
        choices, [](const Sum& s) { return s.relative_noise; }, kept);
    const auto found = choose_for_energy(choices, budget);
    ASSERT_EQ(found.has_value(), expected.has_value());
    if (!found) {
      EXPECT_THAT(found.error().detail, ::testing::HasSubstr("the cheapest formats take"));
      ++infeasible;
      continue;
    }
    const Sum sum = sum_of(choices, found->assignment);
    EXPECT_LE(sum.energy_pj, budget * (1 + 1e-12));
    EXPECT_NEAR(sum.relative_noise, *expected, 1e-9 * (1 + *expected));
  }
  EXPECT_GT(infeasible, 0);
  EXPECT_LT(infeasible, 200);
}

}  // namespace
}  // namespace tessera::flow
