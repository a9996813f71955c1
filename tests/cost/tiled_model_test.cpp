// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"

#include "example.h"

namespace tessera::cost {
namespace {

using plan::Component;
using ::testing::HasSubstr;
using testing::path;
using testing::small_platform;
using testing::two_layers;

const format::NumberFormat kAnalog = format::Analog{"test"};
const format::NumberFormat kFp16 = format::Float{16};
const format::NumberFormat kInt8 = format::Integer{8, 8};
const format::NumberFormat kInt4 = format::Integer{4, 8};

plan::Assignment assign(const ir::Workload& w,
                        std::vector<std::pair<std::string, format::NumberFormat>> units) {
  plan::Assignment a;
  for (std::size_t i = 0; i < w.layers.size(); ++i)
    a.paths.push_back(path(w.layers[i], units[i].first, units[i].second));
  return a;
}

// Golden, hand-computed: every figure below can be worked out from docs/cost_model.md and
// small_platform() with pencil and paper.
TEST(TiledModel, TwoLayersByHandAnalogThenInt8) {
  const TiledModel model(two_layers(), small_platform());
  const auto cost = model.evaluate(assign(model.workload(), {{"pcm", kAnalog}, {"npu", kInt8}}));
  ASSERT_TRUE(cost.has_value()) << cost.error().detail;

  // C3: 27 rows in 2 pieces, 10 columns in 2 pieces. C2: 36 positions of
  // 4·100 + 54·2 + 20·3 + 270·0.5 = 703 pJ. C4: 360 outputs, 2 row pieces. C5: 108 B read, 360 B
  // written. C13: 36·50 ns, more than 468 B / 16.
  const plan::LayerCost& conv1 = cost->layers[0];
  EXPECT_EQ(conv1.tiles, 4);
  EXPECT_EQ(conv1.mvms, 144);
  EXPECT_EQ(conv1.used_cells, 270);
  EXPECT_EQ(conv1.allocated_cells, 512);
  EXPECT_EQ(conv1.weight_bytes, 0);
  EXPECT_EQ(conv1.programming_pj, 2700);
  EXPECT_EQ(conv1.energy_pj[Component::kAnalogMvm], 25308);
  EXPECT_EQ(conv1.energy_pj[Component::kAccumulate], 180);
  EXPECT_EQ(conv1.energy_pj[Component::kActivations], 108 * 2 + 360 * 2.5);
  EXPECT_EQ(conv1.energy_pj.total(), 26604);
  EXPECT_EQ(conv1.latency_ns, 1800);

  // C6: 1800 MACs at 0.5 pJ; 1800 B twice and 5 biases of 4 B; C13: 3620 B / 8 B/ns is the longest.
  const plan::LayerCost& fc = cost->layers[1];
  EXPECT_EQ(fc.energy_pj[Component::kMac], 900);
  EXPECT_EQ(fc.energy_pj[Component::kWeights], 3620);
  EXPECT_EQ(fc.energy_pj[Component::kActivations], 360 * 2 + 5 * 2.5);
  EXPECT_EQ(fc.energy_pj[Component::kAccumulate], 5 * 0.4);
  EXPECT_EQ(fc.weight_bytes, 1800);
  EXPECT_EQ(fc.programming_pj, 1820 * 1.5);
  EXPECT_EQ(fc.latency_ns, 452.5);

  // C11: relu at 8 bit, on the way to memory; flatten is a view.
  ASSERT_EQ(cost->glue.size(), 2u);
  EXPECT_DOUBLE_EQ(cost->glue[0].energy_pj[Component::kGlue], 360 * 0.2 / 2);
  EXPECT_EQ(cost->glue[0].energy_pj[Component::kActivations], 0);
  EXPECT_EQ(cost->glue[0].latency_ns, 45);
  EXPECT_EQ(cost->glue[1], plan::GlueCost{});

  // C10, C9: the input, the border between the units, the output.
  ASSERT_EQ(cost->links.size(), 3u);
  EXPECT_EQ(cost->links[0].from, "input");
  EXPECT_EQ(cost->links[0].to, "conv1");
  EXPECT_EQ(cost->links[0].bytes, 108);
  EXPECT_EQ(cost->links[0].energy_pj.total(), 108 * 4 + 108 * 2.5);
  EXPECT_EQ(cost->links[0].latency_ns, 27);
  EXPECT_EQ(cost->links[1].from, "glue1");
  EXPECT_EQ(cost->links[1].to, "fc");
  EXPECT_EQ(cost->links[1].energy_pj[Component::kLink], 1080);
  EXPECT_EQ(cost->links[1].energy_pj[Component::kConversion], 0);
  EXPECT_EQ(cost->links[1].latency_ns, 180);
  EXPECT_EQ(cost->links[2].to, "output");
  EXPECT_EQ(cost->links[2].energy_pj.total(), 30);
  EXPECT_EQ(cost->links[2].latency_ns, 1.25);

  const plan::Totals& t = cost->totals;
  EXPECT_DOUBLE_EQ(t.energy_pj, 33706.5);
  EXPECT_DOUBLE_EQ(t.latency_ns, 2505.75);
  EXPECT_EQ(t.area_mm2, 150 * 0.5 + 1 + 0.25 + 0.5);
  EXPECT_EQ(t.digital_weight_bytes, 1800);
  EXPECT_EQ(t.analog_weight_fraction, 270.0 / 2070);
  EXPECT_EQ(t.analog_mac_ratio, 9720.0 / 11520);
  EXPECT_EQ(t.analog_utilization, 270.0 / 512);
  EXPECT_EQ(t.tiles, 4);
  EXPECT_EQ(t.macs, 11520);
  EXPECT_EQ(t.params, 2085);
  EXPECT_EQ(t.programming_pj, 2700 + 2730);
}

TEST(TiledModel, TwoLayersByHandFp16ThenInt4) {
  const TiledModel model(two_layers(), small_platform());
  const auto cost = model.evaluate(assign(model.workload(), {{"npu", kFp16}, {"npu", kInt4}}));
  ASSERT_TRUE(cost.has_value()) << cost.error().detail;

  const plan::LayerCost& conv1 = cost->layers[0];
  EXPECT_EQ(conv1.energy_pj[Component::kMac], 19440);
  EXPECT_EQ(conv1.energy_pj[Component::kWeights], 540 * 2 + 20);
  // The image is read as 8-bit codes, the outputs are written as halves.
  EXPECT_EQ(conv1.energy_pj[Component::kActivations], 108 * 2 + 720 * 2.5);
  EXPECT_EQ(conv1.energy_pj[Component::kAccumulate], 0);
  EXPECT_EQ(conv1.weight_bytes, 540);
  EXPECT_EQ(conv1.latency_ns, 9720 / (4 * 0.5));

  const plan::LayerCost& fc = cost->layers[1];
  EXPECT_EQ(fc.energy_pj[Component::kMac], 450);
  EXPECT_EQ(fc.energy_pj[Component::kWeights], 900 * 2 + 20);
  EXPECT_EQ(fc.energy_pj[Component::kActivations], 720 * 2 + 5 * 2.5);
  EXPECT_EQ(fc.weight_bytes, 900);
  EXPECT_EQ(fc.latency_ns, 227.5);

  EXPECT_DOUBLE_EQ(cost->glue[0].energy_pj[Component::kGlue], 72);
  ASSERT_EQ(cost->links.size(), 3u);
  EXPECT_DOUBLE_EQ(cost->links[0].energy_pj[Component::kConversion], 108 * 0.4);
  EXPECT_EQ(cost->links[0].latency_ns, 27 + 13.5);
  EXPECT_EQ(cost->links[1].bytes, 720);
  EXPECT_DOUBLE_EQ(cost->links[1].energy_pj.total(), 144);
  EXPECT_EQ(cost->links[1].latency_ns, 45);
  EXPECT_EQ(cost->totals.tiles, 0);
  EXPECT_EQ(cost->totals.analog_utilization, 0);
}

TEST(TiledModel, LayerCostIsTheLayerWithoutBorders) {
  const TiledModel model(two_layers(), small_platform());
  const auto cost = model.layer_cost(1, path(model.workload().layers[1], "npu", kFp16));
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(cost->energy_pj[Component::kActivations], 720 * 2 + 10 * 2.5);
}

TEST(TiledModel, CandidatesStandInThePlatformsOrder) {
  hw::Platform platform = small_platform();
  const TiledModel model(two_layers(), platform);
  const auto paths = model.candidate_paths(0);
  ASSERT_EQ(paths.size(), 4u);
  EXPECT_EQ(to_string(paths[0]), "pcm analog:test");
  EXPECT_EQ(to_string(paths[1]), "npu fp16");
  EXPECT_EQ(to_string(paths[2]), "npu int8");
  EXPECT_EQ(to_string(paths[3]), "npu int4/a8");
  EXPECT_EQ(paths[0].parts[0].channels, (plan::ChannelRange{0, 10}));

  std::get<hw::AnalogUnit>(platform.units[0]).tiles = 22;
  const TiledModel smaller(two_layers(), platform);
  EXPECT_EQ(smaller.candidate_paths(0).size(), 4u);
  EXPECT_EQ(smaller.candidate_paths(1).size(), 3u) << "fc needs 23 tiles";
}

TEST(TiledModel, C12_TilesRunOutByName) {
  hw::Platform platform = small_platform();
  std::get<hw::AnalogUnit>(platform.units[0]).tiles = 26;
  const TiledModel model(two_layers(), platform);
  const auto a = assign(model.workload(), {{"pcm", kAnalog}, {"pcm", kAnalog}});
  const auto cost = model.evaluate(a);
  ASSERT_FALSE(cost.has_value());
  EXPECT_EQ(cost.error().reason, "tiles");
  EXPECT_EQ(cost.error().detail,
            "unit pcm has 26 tiles, the mapping needs 27; no room for fc (23)");
  EXPECT_EQ(model.totals(std::vector<int>{0, 0}).error(), cost.error());
}

TEST(TiledModel, C12_WeightMemoryRunsOutByName) {
  hw::Platform platform = small_platform();
  platform.memories[0].capacity_bytes.value = 560 + 1820 - 1;
  const TiledModel model(two_layers(), platform);
  const auto cost = model.evaluate(assign(model.workload(), {{"npu", kFp16}, {"npu", kInt8}}));
  ASSERT_FALSE(cost.has_value());
  EXPECT_EQ(cost.error().reason, "memory");
  EXPECT_EQ(cost.error().detail,
            "memory weights has 2379 bytes, the mapping needs 2380; no room for fc (1820)");
  EXPECT_TRUE(model.evaluate(assign(model.workload(), {{"npu", kFp16}, {"npu", kInt4}})));
}

TEST(TiledModel, C6_StreamedWeightsNeedNoLoadingAndNoRoom) {
  hw::Platform platform = small_platform();
  platform.memories[0].capacity_bytes.value = 1;
  std::get<hw::DigitalUnit>(platform.units[1]).weight_residency = hw::WeightResidency::kStreamed;
  const TiledModel model(two_layers(), platform);
  const auto cost = model.evaluate(assign(model.workload(), {{"npu", kFp16}, {"npu", kInt8}}));
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(cost->totals.programming_pj, 0);
  EXPECT_EQ(cost->layers[1].energy_pj[Component::kWeights], 3620);
}

TEST(TiledModel, C13_WeightsInTheActivationMemoryShareItsBandwidth) {
  hw::Platform platform = small_platform();
  std::get<hw::DigitalUnit>(platform.units[1]).weight_memory = "activations";
  const TiledModel model(two_layers(), platform);
  const auto cost = model.layer_cost(1, path(model.workload().layers[1], "npu", kInt8));
  EXPECT_EQ(cost->latency_ns, (3620 + 360 + 5) / 16.0);
}

TEST(TiledModel, C8_SplitLayerCostsItsSlicesAndTheGathering) {
  const TiledModel model(two_layers(), small_platform());
  plan::Assignment a = assign(model.workload(), {{"npu", kInt8}, {"npu", kInt8}});
  a.paths[0].parts = {{"pcm", kAnalog, {0, 4}}, {"npu", kFp16, {4, 10}}};
  const auto cost = model.evaluate(a);
  ASSERT_TRUE(cost.has_value()) << cost.error().detail;
  const plan::LayerCost& row = cost->layers[0];
  EXPECT_EQ(row.used_cells, 108);
  EXPECT_EQ(row.tiles, 2);
  EXPECT_EQ(row.part_tiles, (std::vector<std::int64_t>{2, 0}));
  EXPECT_EQ(row.weight_bytes, 162 * 2);
  EXPECT_EQ(row.energy_pj[Component::kMac], 162 * 36 * 2);
  // Both units read the image; each writes its own outputs.
  EXPECT_EQ(row.energy_pj[Component::kActivations], 2 * 108 * 2 + (144 + 432) * 2.5);
  // Gathered on npu, which has more channels, as fp16: the 144 analog outputs cross and are
  // converted.
  EXPECT_EQ(row.energy_pj[Component::kLink], 144 * 3);
  EXPECT_DOUBLE_EQ(row.energy_pj[Component::kConversion], 144 * 0.4);
  // C13: both units at once, npu is the slower; then 144 B / 2 B/ns and 144 conversions / 8.
  EXPECT_EQ(row.latency_ns, 162 * 36 / (4 * 0.5) + 72 + 18);
  EXPECT_EQ(cost->totals.analog_mac_ratio, 108.0 * 36 / 11520);
}

// Four channels of int8 in two places, six analog ones in three: the same costs as side by side,
// but for whose tiles stand where.
TEST(TiledModel, C8_ChannelsOfOneUnitAndFormatBelongTogether) {
  const TiledModel model(two_layers(), small_platform());
  const plan::Path apart{{{"pcm", kAnalog, {0, 1}},
                          {"npu", kInt8, {1, 4}},
                          {"pcm", kAnalog, {4, 5}},
                          {"npu", kInt8, {5, 6}},
                          {"pcm", kAnalog, {6, 10}}}};
  const plan::Path side_by_side{{{"pcm", kAnalog, {0, 6}}, {"npu", kInt8, {6, 10}}}};
  auto cost = model.layer_cost(0, apart);
  auto expected = model.layer_cost(0, side_by_side);
  ASSERT_TRUE(cost.has_value() && expected.has_value());
  EXPECT_EQ(cost->part_tiles, (std::vector<std::int64_t>{2, 0, 0, 0, 0}));
  EXPECT_EQ(expected->part_tiles, (std::vector<std::int64_t>{2, 0}));
  cost->part_tiles = expected->part_tiles = {};
  EXPECT_EQ(*cost, *expected);
}

// relu behind the addition rides along, relu of the flattened view does not, nor does one whose
// producer has a second reader.
TEST(TiledModel, C11_ElementwiseGlueCostsTrafficOnlyWhereItCannotRideAlong) {
  ir::Workload w;
  w.layers = {testing::conv("a", {.C = 8, .M = 8})};
  const auto glue = [&](const char* op, std::int64_t operations) {
    ir::Glue g;
    g.name = g.op = op;
    g.operations = operations;
    g.input_elements = g.output_elements = 8;
    w.order.push_back({false, static_cast<int>(w.glue.size())});
    w.glue.push_back(g);
  };
  w.order = {{true, 0}};
  glue("Relu", 8);     // step 1: its producer is read by step 2 too
  glue("Add", 8);      // step 2
  glue("Clip", 8);     // step 3: rides along with the addition
  glue("Flatten", 0);  // step 4
  glue("Relu", 8);     // step 5: behind a view
  w.edges = {{-1, 0, 8}, {0, 1, 8}, {0, 2, 8}, {1, 2, 8},
             {2, 3, 8},  {3, 4, 8}, {4, 5, 8}, {5, -1, 8}};
  const TiledModel model(w, small_platform());
  const auto cost = model.evaluate(assign(w, {{"npu", kInt8}}));
  ASSERT_TRUE(cost.has_value());
  const auto traffic = [&](std::size_t g) {
    return cost->glue[g].energy_pj[Component::kActivations];
  };
  EXPECT_EQ(traffic(0), 8 * 2 + 8 * 2.5);
  EXPECT_EQ(traffic(1), 16 * 2 + 8 * 2.5);
  EXPECT_EQ(traffic(2), 0);
  EXPECT_EQ(traffic(3), 0);
  EXPECT_EQ(traffic(4), 8 * 2 + 8 * 2.5);
  for (const std::size_t g : {0u, 1u, 2u, 4u})
    EXPECT_DOUBLE_EQ(cost->glue[g].energy_pj[Component::kGlue], 8 * 0.2 / 2);
}

// C6: the packed bits, computed by hand. conv1: 10 outputs of 9 positions, each a cut block of 3
// weights, 2 of them low: 16 bits of mask, 8 high, 2 · 4 low.
TEST(TiledModel, StrumWeightsTakeTheirPackedBytes) {
  hw::Platform platform = small_platform();
  auto& npu = std::get<hw::DigitalUnit>(platform.units[1]);
  const format::NumberFormat strum = format::Strum{};
  npu.modes.push_back({strum, 8, {.value = 0.4, .plus_minus = 0, .source = ""}});
  const TiledModel model(two_layers(), platform);
  const ir::Layer& layer = model.workload().layers[0];
  const auto cost = model.layer_cost(0, path(layer, "npu", strum));
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(cost->weight_bytes, 10 * 9 * 32 / 8);
  EXPECT_DOUBLE_EQ(cost->energy_pj[Component::kMac], 0.4 * static_cast<double>(layer.macs));
  EXPECT_EQ(model.candidate_paths(0).back().parts[0].format, strum);
}

// conv1 has 10 channels of 27 weights: two groups of 16 or fewer each, of which each sum is scaled.
TEST(TiledModel, C6_GroupsAddTheirScalesToWhatTheirWidthCosts) {
  const TiledModel model(two_layers(), small_platform());
  const ir::Layer& layer = model.workload().layers[0];
  const auto plain = model.layer_cost(0, path(layer, "npu", kInt4));
  const auto cost = model.layer_cost(0, path(layer, "npu", format::Integer{4, 8, 16}));
  ASSERT_TRUE(plain.has_value());
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(plain->weight_bytes, 270 / 2);
  EXPECT_EQ(cost->weight_bytes, 270 / 2 + 10 * 2 * 4);
  EXPECT_EQ(cost->energy_pj[Component::kMac], plain->energy_pj[Component::kMac]);
  EXPECT_EQ(cost->energy_pj[Component::kAccumulate], 2 * plain->energy_pj[Component::kAccumulate]);
  EXPECT_THAT(model.layer_cost(0, path(layer, "npu", format::Integer{2, 8, 16})).error().detail,
              HasSubstr("unit 'npu' does not run int2g16/a8; it runs fp16, int8, int4/a8"));
}

TEST(TiledModel, PathsThatThePlatformDoesNotHaveAreNamed) {
  const TiledModel model(two_layers(), small_platform());
  const ir::Layer& layer = model.workload().layers[0];
  const auto why = [&](const plan::Path& p) { return model.layer_cost(0, p).error(); };
  EXPECT_THAT(why(path(layer, "tpu", kInt8)).detail, HasSubstr("has no unit 'tpu'"));
  EXPECT_THAT(why(path(layer, "npu", format::Integer{2, 8})).detail,
              HasSubstr("unit 'npu' does not run int2/a8; it runs fp16, int8, int4/a8"));
  EXPECT_THAT(why(path(layer, "pcm", format::Analog{"other"})).detail,
              HasSubstr("does not run analog:other; it runs analog:test"));
  EXPECT_EQ(why({{{"npu", kInt8, {0, 9}}}}).reason, "channels");
  EXPECT_EQ(why({{{"npu", kInt8, {0, 11}}}}).reason, "channels");
  EXPECT_EQ(why({{{"npu", kInt8, {0, 5}}, {"npu", kInt8, {4, 10}}}}).reason, "channels");
  EXPECT_EQ(why({}).reason, "channels");

  ir::Workload grouped;
  grouped.layers = {testing::conv("g", {.C = 4, .M = 8, .G = 4})};
  grouped.order = {{true, 0}};
  const TiledModel g(grouped, small_platform());
  EXPECT_THAT(g.layer_cost(0, {{{"npu", kInt8, {0, 3}}, {"npu", kInt8, {3, 8}}}}).error().detail,
              HasSubstr("cut a group of 2"));
  EXPECT_TRUE(g.layer_cost(0, {{{"npu", kInt8, {0, 4}}, {"npu", kInt8, {4, 8}}}}));
}

TEST(TiledModel, BrokenInputIsABugOfTheCaller) {
  EXPECT_THROW(TiledModel(two_layers(), small_platform()).evaluate({}), InternalError);
  EXPECT_THROW(TiledModel(two_layers(), small_platform()).totals(std::vector<int>{0, 4}),
               InternalError);
  hw::Platform platform = small_platform();
  platform.memories[1].bandwidth_bytes_per_ns.value = 0;
  EXPECT_THROW(TiledModel(two_layers(), platform), InternalError);
  ir::Workload backwards = two_layers();
  std::swap(backwards.edges[1].producer, backwards.edges[1].consumer);
  EXPECT_THROW(TiledModel(backwards, small_platform()), InternalError);
}

}  // namespace
}  // namespace tessera::cost
