// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "tessera/core/rng.h"
#include "tessera/cost/tiled.h"

#include "example.h"

namespace tessera::cost {
namespace {

using plan::Component;

constexpr int kTrials = 200;

std::vector<int> random_choice(const TiledModel& model, Rng& rng) {
  std::vector<int> choice;
  for (std::size_t i = 0; i < model.workload().layers.size(); ++i)
    choice.push_back(static_cast<int>(rng.below(model.candidate_paths(i).size())));
  return choice;
}

plan::Cost evaluate(const TiledModel& model, const std::vector<int>& choice) {
  plan::Assignment a;
  for (std::size_t i = 0; i < choice.size(); ++i)
    a.paths.push_back(model.candidate_paths(i)[static_cast<std::size_t>(choice[i])]);
  auto cost = model.evaluate(a);
  EXPECT_TRUE(cost.has_value());
  return *cost;
}

TEST(TiledProperty, C1_TotalsAreTheSumsOfTheRowsToTheBit) {
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(1).split(static_cast<std::uint64_t>(trial));
    const TiledModel model(testing::random_network(rng), testing::random_platform(rng));
    const std::vector<int> choice = random_choice(model, rng);
    const plan::Cost cost = evaluate(model, choice);

    plan::Totals sum;
    const auto add = [&](const auto& row) {
      sum.energy_pj += row.energy_pj.total();
      sum.breakdown += row.energy_pj;
      sum.latency_ns += row.latency_ns;
    };
    for (const plan::LayerCost& row : cost.layers) {
      add(row);
      sum.digital_weight_bytes += row.weight_bytes;
      sum.tiles += row.tiles;
      sum.programming_pj += row.programming_pj;
    }
    for (const plan::GlueCost& row : cost.glue)
      add(row);
    for (const plan::LinkCost& row : cost.links)
      add(row);
    EXPECT_EQ(cost.totals.energy_pj, sum.energy_pj);
    EXPECT_EQ(cost.totals.breakdown, sum.breakdown);
    EXPECT_EQ(cost.totals.latency_ns, sum.latency_ns);
    EXPECT_EQ(cost.totals.digital_weight_bytes, sum.digital_weight_bytes);
    EXPECT_EQ(cost.totals.tiles, sum.tiles);
    EXPECT_EQ(cost.totals.programming_pj, sum.programming_pj);
    EXPECT_NEAR(cost.totals.breakdown.total(), sum.energy_pj, 1e-12 * sum.energy_pj);
    // The fast way gives the same bits.
    EXPECT_EQ(model.totals(choice).value(), cost.totals);
  }
}

TEST(TiledProperty, C13_MoreBandwidthIsNeverSlower) {
  using Change = std::function<void(hw::Platform&)>;
  const std::vector<Change> changes = {
      [](hw::Platform& p) { p.memories[0].bandwidth_bytes_per_ns.value *= 2; },
      [](hw::Platform& p) { p.memories[1].bandwidth_bytes_per_ns.value *= 2; },
      [](hw::Platform& p) { p.links[0].bandwidth_bytes_per_ns.value *= 2; },
      [](hw::Platform& p) { p.default_link.bandwidth_bytes_per_ns.value *= 2; },
      [](hw::Platform& p) { p.glue.operations_per_ns.value *= 2; },
      [](hw::Platform& p) { std::get<hw::DigitalUnit>(p.units[1]).clock_ghz.value *= 2; },
  };
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(2).split(static_cast<std::uint64_t>(trial));
    const ir::Workload network = testing::random_network(rng);
    const hw::Platform platform = testing::random_platform(rng);
    const TiledModel model(network, platform);
    const std::vector<int> choice = random_choice(model, rng);
    const plan::Totals before = model.totals(choice).value();
    for (const Change& change : changes) {
      hw::Platform faster = platform;
      change(faster);
      const plan::Totals after = TiledModel(network, faster).totals(choice).value();
      EXPECT_LE(after.latency_ns, before.latency_ns);
      EXPECT_EQ(after.energy_pj, before.energy_pj);
    }
  }
}

// Input and output channels, kernel and image grow; what else the layer needs grows with them.
TEST(TiledProperty, ABiggerLayerIsNeverCheaper) {
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(3).split(static_cast<std::uint64_t>(trial));
    const auto pick = [&](std::uint64_t n) { return 1 + static_cast<std::int64_t>(rng.below(n)); };
    const hw::Platform platform = testing::random_platform(rng);
    const std::int64_t groups = pick(3);
    const std::int64_t side = pick(6);
    const ir::LayerDims dims{.C = groups * pick(20),
                             .M = groups * pick(20),
                             .R = pick(3),
                             .S = pick(3),
                             .P = side,
                             .Q = side,
                             .G = groups,
                             .H = side,
                             .W = side};
    ir::LayerDims more_inputs = dims, more_outputs = dims, larger_kernel = dims, larger = dims;
    more_inputs.C += groups;
    more_outputs.M += groups;
    larger_kernel.R += 1;
    larger.P += 1;
    larger.H += 1;
    const auto costs = [&](const ir::LayerDims& d) {
      ir::Workload w;
      w.layers = {testing::conv("layer", d)};
      w.order = {{true, 0}};
      const TiledModel model(w, platform);
      std::vector<plan::LayerCost> all;
      for (const plan::Path& path : model.candidate_paths(0))
        all.push_back(model.layer_cost(0, path).value());
      return all;
    };
    const auto before = costs(dims);
    for (const ir::LayerDims& d : {more_inputs, more_outputs, larger_kernel, larger}) {
      const auto after = costs(d);
      for (std::size_t i = 0; i < before.size(); ++i) {
        EXPECT_GE(after[i].energy_pj.total(), before[i].energy_pj.total());
        EXPECT_GE(after[i].latency_ns, before[i].latency_ns);
        EXPECT_GE(after[i].tiles, before[i].tiles);
      }
    }
  }
}

TEST(TiledProperty, EnergyIsAtLeastTheCheapestMacsAndTimeTheFastest) {
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(4).split(static_cast<std::uint64_t>(trial));
    const TiledModel model(testing::random_network(rng), testing::random_platform(rng));
    const auto& pcm = std::get<hw::AnalogUnit>(model.platform().units[0]);
    const auto& npu = std::get<hw::DigitalUnit>(model.platform().units[1]);
    double least_pj = pcm.mvm_cell_pj.value;
    double best_rate =
        static_cast<double>(pcm.tile_rows * pcm.tile_columns) / pcm.mvm_latency_ns.value;
    for (const hw::DigitalMode& mode : npu.modes) {
      least_pj = std::min(least_pj, mode.mac_pj.value);
      best_rate = std::max(best_rate, mode.macs_per_cycle * npu.clock_ghz.value);
    }
    const std::vector<int> choice = random_choice(model, rng);
    const plan::Totals totals = model.totals(choice).value();
    const auto macs = static_cast<double>(totals.macs);
    EXPECT_GE(totals.energy_pj, macs * least_pj);
    EXPECT_GT(totals.latency_ns,
              macs / (best_rate * static_cast<double>(std::max<std::int64_t>(1, totals.tiles))));
    EXPECT_GE(totals.breakdown[Component::kActivations], 0);
  }
}

}  // namespace
}  // namespace tessera::cost
