// SPDX-License-Identifier: Apache-2.0
// Rule C15: layers on spatial units.
#include <memory>

#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"

#include "cost/example.h"

namespace tessera::cost {
namespace {

using plan::Component;
using testing::path;

const std::vector<int> kWidths = {2, 4, 8};

// A platform whose array has nests of energies that tell the widths they were priced at: layer l at
// w/i/o costs 1000 (l + 1) + 100 w + 10 i + o pJ and as many ns.
double energy_of(std::size_t layer, const NestWidths& widths) {
  return 1000.0 * static_cast<double>(layer + 1) + 100.0 * widths.weights + 10.0 * widths.inputs +
         widths.outputs;
}

hw::Platform platform() {
  hw::Platform platform = testing::small_platform();
  hw::ArrayUnit array;
  array.name = "array";
  array.clock_ghz = {.value = 1, .plus_minus = 0, .source = "assumed: test"};
  array.weight_bits = kWidths;
  array.activation_bits = kWidths;
  platform.units.emplace_back(array);
  return platform;
}

PlatformNests nests(const ir::Workload& workload) {
  std::vector<std::string> names;
  for (const ir::Layer& layer : workload.layers)
    names.push_back(layer.name);
  auto table = std::make_shared<LayerNests>(names, kWidths, kWidths);
  for (std::size_t layer = 0; layer < names.size(); ++layer) {
    for (const int w : kWidths) {
      for (const int i : kWidths) {
        for (const int o : kWidths) {
          auto choice = std::make_shared<NestChoice>();
          choice->energy_pj[Component::kMac] = energy_of(layer, {w, i, o});
          choice->latency_ns = energy_of(layer, {w, i, o});
          auto nest = std::make_shared<plan::LayerNest>();
          nest->levels = {{"mac", energy_of(layer, {w, i, o})}};
          nest->mapping = "mapping: []\n";
          choice->nest = nest;
          table->set(layer, {w, i, o}, choice);
        }
      }
    }
  }
  PlatformNests all(platform().units.size());
  all.back() = table;
  return all;
}

TiledModel model(const ir::Workload& workload) {
  return {workload, platform(), nests(workload)};
}

plan::Path on_array(const ir::Layer& layer, int weights, int activations) {
  return path(layer, "array", format::Integer{weights, activations});
}

double nest_pj(const plan::LayerCost& row) {
  return row.energy_pj[Component::kMac];
}

TEST(ArrayUnitCost, OutputsAreAsWideAsTheirReaderWantsAndEightBitsAtTheEnd) {
  const ir::Workload workload = testing::two_layers();
  const TiledModel cost = model(workload);
  const plan::Cost rows =
      cost.evaluate({{on_array(workload.layers[0], 4, 8), on_array(workload.layers[1], 2, 4)}})
          .value();
  // The network's input comes in 8 bits; relu and flatten hand on what fc asks for.
  EXPECT_EQ(nest_pj(rows.layers[0]), energy_of(0, {4, 8, 4}));
  EXPECT_EQ(nest_pj(rows.layers[1]), energy_of(1, {2, 4, 8}));
  EXPECT_EQ(rows.layers[0].latency_ns, energy_of(0, {4, 8, 4}));
  ASSERT_TRUE(rows.layers[0].nest.has_value());
  EXPECT_EQ(rows.layers[0].nest->levels[0].energy_pj, energy_of(0, {4, 8, 4}));
  EXPECT_EQ(rows.layers[0].weight_bytes, 10 * 27 * 4 / 8);
  // conv1 and its 4-bit output: no conversion between the two.
  for (const plan::LinkCost& link : rows.links)
    EXPECT_EQ(link.energy_pj[Component::kConversion], 0) << link.from << " to " << link.to;
}

TEST(ArrayUnitCost, InputsMoveAsWideAsTheyAreStored) {
  const ir::Workload workload = testing::two_layers();
  const TiledModel cost = model(workload);
  // The network's input lies there in 8 bits, whatever conv1 makes of it.
  const plan::Cost rows =
      cost.evaluate({{on_array(workload.layers[0], 4, 2), on_array(workload.layers[1], 8, 8)}})
          .value();
  EXPECT_EQ(nest_pj(rows.layers[0]), energy_of(0, {4, 8, 8}));
  // From 8 to 2 bits on the way in.
  EXPECT_GT(rows.links.at(0).energy_pj[Component::kConversion], 0);
}

// conv1 feeds conv2 and conv3, which are added: conv1's output is as wide as the wider reader.
TEST(ArrayUnitCost, SeveralReadersGetTheWidestOfTheirWishes) {
  ir::Workload w;
  const ir::LayerDims dims{.C = 4, .M = 4, .R = 1, .S = 1, .P = 2, .Q = 2, .H = 2, .W = 2};
  for (const char* name : {"conv1", "conv2", "conv3"}) {
    w.order.push_back({true, static_cast<int>(w.layers.size())});
    w.layers.push_back(testing::conv(name, dims));
  }
  w.glue.push_back({.node = {},
                    .name = "add",
                    .op = "Add",
                    .operations = 16,
                    .input_elements = 32,
                    .output_elements = 16});
  w.order.push_back({false, 0});
  w.edges = {{-1, 0, 16}, {0, 1, 16}, {0, 2, 16}, {1, 3, 16}, {2, 3, 16}, {3, -1, 16}};
  const TiledModel cost = model(w);
  const plan::Cost rows = cost.evaluate({{on_array(w.layers[0], 8, 8), on_array(w.layers[1], 8, 2),
                                          on_array(w.layers[2], 8, 4)}})
                              .value();
  EXPECT_EQ(nest_pj(rows.layers[0]), energy_of(0, {8, 8, 4}));
  EXPECT_EQ(nest_pj(rows.layers[1]), energy_of(1, {8, 4, 8})) << "reads what conv3 wants in 4 bits";
  EXPECT_EQ(nest_pj(rows.layers[2]), energy_of(2, {8, 4, 8}));
}

TEST(ArrayUnitCost, TotalsAreThoseOfEvaluate) {
  Rng rng(5);
  for (int trial = 0; trial < 50; ++trial) {
    const ir::Workload workload = testing::random_network(rng);
    const TiledModel cost = model(workload);
    std::vector<int> choice;
    plan::Assignment assignment;
    for (std::size_t i = 0; i < workload.layers.size(); ++i) {
      const auto paths = cost.candidate_paths(i);
      choice.push_back(static_cast<int>(rng.below(paths.size())));
      assignment.paths.push_back(paths[static_cast<std::size_t>(choice.back())]);
    }
    const auto totals = cost.totals(choice);
    const auto rows = cost.evaluate(assignment);
    ASSERT_EQ(totals.has_value(), rows.has_value());
    if (!totals)
      continue;
    EXPECT_EQ(*totals, rows->totals);
    double sum = 0;
    for (const plan::LevelEnergy& level : plan::level_energies(*rows))
      sum += level.energy_pj;
    if (sum > 0) {
      EXPECT_NEAR(sum, totals->energy_pj, 1e-9 * totals->energy_pj);
    }
  }
}

TEST(ArrayUnitCost, OffersEveryPairOfWidths) {
  const ir::Workload workload = testing::two_layers();
  int pairs = 0;
  for (const plan::Path& candidate : model(workload).candidate_paths(0))
    pairs += candidate.parts[0].unit == "array";
  EXPECT_EQ(pairs, 9);
}

TEST(ArrayUnitCost, AWidthWithoutANestIsNoCandidate) {
  const ir::Workload workload = testing::two_layers();
  PlatformNests holed(platform().units.size());
  auto table = std::make_shared<LayerNests>(*nests(workload).back());
  for (const int i : kWidths) {
    for (const int o : kWidths)
      table->set(0, {2, i, o}, nullptr);
  }
  holed.back() = table;
  const TiledModel cost(workload, platform(), holed);
  for (const plan::Path& candidate : cost.candidate_paths(0)) {
    if (candidate.parts[0].unit == "array") {
      EXPECT_NE(format::weight_bits(candidate.parts[0].format), 2);
    }
  }
  const auto no = cost.layer_cost(0, on_array(workload.layers[0], 2, 8));
  ASSERT_FALSE(no.has_value());
  EXPECT_EQ(no.error().detail, "layer conv1: no loop nest of int2/a8 runs on unit 'array'");
}

TEST(ArrayUnitCost, SaysWhatItDoesNotRun) {
  const ir::Workload workload = testing::two_layers();
  const TiledModel cost = model(workload);
  const auto width = cost.layer_cost(0, on_array(workload.layers[0], 3, 8));
  ASSERT_FALSE(width.has_value());
  EXPECT_EQ(width.error().reason, "path");
  plan::Path grouped = on_array(workload.layers[0], 8, 8);
  grouped.parts[0].format = format::Integer{8, 8, 32};
  EXPECT_EQ(
      cost.layer_cost(0, grouped).error().detail,
      "layer conv1: unit 'array' does not run int8g32; it runs integers of the widths that it "
      "lists, one scale per channel");
  plan::Path half = on_array(workload.layers[0], 8, 8);
  half.parts[0].channels = {0, 5};
  half.parts.push_back({"npu", format::Integer{8, 8}, {5, 10}});
  const auto split = cost.layer_cost(0, half);
  ASSERT_FALSE(split.has_value());
  EXPECT_EQ(split.error().detail,
            "layer conv1: unit 'array' runs whole layers, not 5 of 10 channels");
  for (const plan::Path& candidate : TiledModel(workload, platform()).candidate_paths(0))
    EXPECT_NE(candidate.parts[0].unit, "array") << "nobody looked for its nests";
}

TEST(LayerNests, LooksUpTheNextWiderWidth) {
  const auto table = nests(testing::two_layers()).back();
  EXPECT_EQ(table->find(0, {3, 5, 1})->latency_ns, energy_of(0, {4, 8, 2}));
  EXPECT_EQ(table->find(0, {16, 32, 8})->latency_ns, energy_of(0, {8, 8, 8}));
  EXPECT_EQ(table->stored_bits(5), 8);
  EXPECT_EQ(table->stored_bits(32), 8);
  EXPECT_THROW(LayerNests({"a"}, {}, {8}), InternalError);
  EXPECT_THROW(LayerNests({"a"}, {4, 2}, {8}), InternalError);
}

}  // namespace
}  // namespace tessera::cost
