// SPDX-License-Identifier: Apache-2.0
#include "tessera/cost/split_cost.h"

#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"

#include "example.h"

namespace tessera::cost {
namespace {

// The analog path and one digital one.
std::vector<plan::Path> one_on_each_unit(const TiledModel& model, std::size_t layer,
                                         std::size_t digital) {
  const std::vector<plan::Path> all = model.candidate_paths(layer);
  return {all[0], all[1 + digital]};
}

// A path whose channels lie in stretches of whole steps, `taken` of them on the first path.
plan::Path scattered(const std::vector<plan::Path>& paths, std::int64_t steps, std::int64_t taken,
                     std::int64_t step, Rng& rng) {
  std::vector<std::size_t> which(static_cast<std::size_t>(steps), 1);
  for (std::int64_t i = 0; i < taken; ++i)
    which[static_cast<std::size_t>(i)] = 0;
  rng.shuffle(std::span(which));
  plan::Path path;
  for (std::size_t i = 0; i < which.size(); ++i) {
    plan::Part part = paths[which[i]].parts.front();
    part.channels = {static_cast<std::int64_t>(i) * step, static_cast<std::int64_t>(i + 1) * step};
    if (!path.parts.empty() && path.parts.back().unit == part.unit)
      path.parts.back().channels.end = part.channels.end;
    else
      path.parts.push_back(part);
  }
  return path;
}

TEST(SplitCost, C8_AtWholeChannelsItIsTheCostOfAnySuchPath) {
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(5).split(trial);
    const TiledModel model(testing::random_network(rng), testing::random_platform(rng));
    for (std::size_t layer = 0; layer < model.workload().layers.size(); ++layer) {
      const auto paths = one_on_each_unit(model, layer, rng.below(3));
      const SplitCost split(model, layer, paths);
      const std::int64_t channels = model.workload().layers[layer].dims.M;
      const std::int64_t step = split.channel_step();
      const std::int64_t steps = channels / step;
      const auto taken =
          static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(steps) + 1));
      const auto exact = model.layer_cost(layer, scattered(paths, steps, taken, step, rng));
      ASSERT_TRUE(exact.has_value()) << exact.error().detail;
      const std::vector<double> counts = {static_cast<double>(taken * step),
                                          static_cast<double>(channels - taken * step)};
      const SplitCost::Value value = split.at(counts);
      const double energy_pj = exact->energy_pj.total();
      EXPECT_NEAR(value.energy_pj, energy_pj, 1e-12 * energy_pj);
      EXPECT_NEAR(value.latency_ns, exact->latency_ns, 1e-12 * exact->latency_ns);
    }
  }
}

TEST(SplitCost, IsLinearBetweenWholeChannels) {
  const TiledModel model(testing::two_layers(), testing::small_platform());
  const SplitCost split(model, 0, one_on_each_unit(model, 0, 1));
  const auto energy = [&](double analog) {
    return split.at(std::vector<double>{analog, 10 - analog}).energy_pj;
  };
  EXPECT_NEAR(energy(7.25), 0.75 * energy(7) + 0.25 * energy(8), 1e-9);
}

// The slopes lead from no channel to all: moving everything along them arrives at the other end.
TEST(SplitCost, SlopesLeadFromOneEndToTheOther) {
  const TiledModel model(testing::two_layers(), testing::small_platform());
  const auto paths = one_on_each_unit(model, 0, 1);
  const SplitCost split(model, 0, paths);
  const SplitCost::Value digital = split.at(std::vector<double>{0, 10});
  EXPECT_NEAR(10 * digital.energy_slope[1], model.layer_cost(0, paths[1])->energy_pj.total(), 1e-9);
  // int8 takes 36·270/8 ns; an empty tile unit does not hold anybody up.
  EXPECT_NEAR(10 * digital.latency_slope[1], 9720 / (16 * 0.5), 1e-9);
  const SplitCost::Value analog = split.at(std::vector<double>{10, 0});
  EXPECT_NEAR(10 * analog.energy_slope[0], model.layer_cost(0, paths[0])->energy_pj.total(), 1e-9);
  EXPECT_GT(analog.latency_slope[0], 0);
}

TEST(SplitCost, RefusesWhatIsNoSplitOverUnits) {
  const TiledModel model(testing::two_layers(), testing::small_platform());
  const std::vector<plan::Path> all = model.candidate_paths(0);
  EXPECT_THROW(SplitCost(model, 0, std::vector<plan::Path>{all[1], all[2]}), InternalError);
  const SplitCost split(model, 0, one_on_each_unit(model, 0, 0));
  EXPECT_THROW(split.at(std::vector<double>{10}), InternalError);
  EXPECT_THROW(split.at(std::vector<double>{4, 4}), InternalError);
}

}  // namespace
}  // namespace tessera::cost
