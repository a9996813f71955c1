// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/adapt.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/passes.h"
#include "tessera/onnx/import.h"

#include "ir/build_graph.h"
#include "support/shared_files.h"

namespace tessera::supernet {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

hw::Platform preset(const std::string& name) {
  return hw::read_platform(testing::source_file("configs/hardware/" + name + ".yaml"));
}

constexpr ir::Conv kSame{.pads = {1, 1, 1, 1}};

// A residual block of `width` channels with `inner` between its layers, and a classifier; weights
// are zero, since costs do not depend on them.
ir::Graph block(std::int64_t width, std::int64_t inner) {
  ir::GraphBuilder b;
  const auto conv = [&](const std::string& name, ir::ValueId x, std::int64_t in, std::int64_t out) {
    return b.node(name, kSame, {x, b.ramp(name + ".w", {out, in, 3, 3}, 0, 0)});
  };
  const ir::ValueId x = conv("stem", b.input("x", {1, 3, 32, 32}), 3, width);
  ir::ValueId y = conv("b", conv("a", x, width, inner), inner, width);
  y = b.node("add", ir::Binary{}, {y, x});
  y = b.node("flat", ir::Flatten{}, {b.node("pool", ir::GlobalPool{}, {y})});
  return b.finish({b.node("fc", ir::Linear{}, {y, b.ramp("fc.w", {10, width}, 0, 0)})});
}

// By hand, on 256 × 256 cells: 3 × 3 kernels read 9 rows a channel, so 9 · 28 = 252 rows are the
// most that one row of tiles takes, 9 · 56 = 504 the most of two.
TEST(Adaptations, WidensToTheEdgeOfTheTiles) {
  const hw::Platform platform = preset("hermes");
  const AdaptOptions any_time{.extra_latency = 10};
  const auto widest = [&](std::int64_t width, std::int64_t inner) {
    const ir::Graph graph = block(width, inner);
    return adaptations(graph, ir::width_groups(graph), platform, any_time).back().widths;
  };
  EXPECT_THAT(widest(16, 16), ElementsAre(28, 28));  // the stream, then the inner width
  EXPECT_THAT(widest(16, 29), ElementsAre(28, 56));
  EXPECT_THAT(widest(28, 28), ElementsAre(28, 28));  // full as it is
}

TEST(Adaptations, MoreTilesAreUsedWhereAskedFor) {
  const hw::Platform platform = preset("hermes");
  const ir::Graph graph = block(16, 16);
  const auto chain = adaptations(graph, ir::width_groups(graph), platform,
                                 {.extra_tiles = 1, .extra_latency = 10});
  EXPECT_EQ(chain.back().totals.tiles, chain.front().totals.tiles + 1);
  // A second row of tiles for one of the two 3 × 3 layers that read a width.
  EXPECT_THAT(chain.back().widths, ::testing::UnorderedElementsAre(28, 56));
}

TEST(Adaptations, LatencyOfGlueIsBounded) {
  const hw::Platform platform = preset("hermes");
  const ir::Graph graph = block(16, 16);
  const auto groups = ir::width_groups(graph);
  const auto still = adaptations(graph, groups, platform, {.extra_latency = 0});
  // The stream's addition takes longer with every channel; the inner width has nothing like it.
  EXPECT_THAT(still.back().widths, ElementsAre(16, 28));
  EXPECT_EQ(still.back().totals.latency_ns, still.front().totals.latency_ns);
}

TEST(Adaptations, ChipsWithoutRoomAreRefused) {
  hw::Platform platform = preset("hermes");
  std::erase_if(platform.units,
                [](const hw::Unit& unit) { return std::holds_alternative<hw::DigitalUnit>(unit); });
  std::get<hw::AnalogUnit>(platform.units.front()).tiles = 1;
  const ir::Graph graph = block(16, 16);
  try {
    adaptations(graph, ir::width_groups(graph), platform, {});
    FAIL() << "no error";
  } catch (const UnsupportedError& error) {
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("hermes is too small for the network as it is: "));
  }
}

TEST(Spread, EndsAndMiddleByEnergy) {
  std::vector<Adaptation> chain;
  for (const double energy_pj : {0.0, 10.0, 40.0, 90.0, 100.0}) {
    chain.push_back({.widths = {static_cast<std::int64_t>(energy_pj)}, .totals = {}});
    chain.back().totals.energy_pj = energy_pj;
  }
  EXPECT_THAT(spread(chain, 1), ElementsAre(chain[4]));
  EXPECT_THAT(spread(chain, 2), ElementsAre(chain[0], chain[4]));
  EXPECT_THAT(spread(chain, 3), ElementsAre(chain[0], chain[2], chain[4]));
  EXPECT_THAT(spread({chain[0]}, 3), SizeIs(1));
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Tiles of the layers that the reference mapping puts on tiles, counted anew from their sizes.
std::int64_t count_tiles(const ir::Workload& workload, const plan::Assignment& reference,
                         const hw::AnalogUnit& unit) {
  std::int64_t tiles = 0;
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    const ir::LayerDims& d = workload.layers[i].dims;
    if (std::holds_alternative<format::Analog>(reference.paths[i].parts.front().format))
      tiles += ceil_div(d.C * d.R * d.S, unit.tile_rows) * ceil_div(d.M, unit.tile_columns);
  }
  return tiles;
}

class AdaptedNetworks
    : public ::testing::TestWithParam<std::tuple<const char*, const char*, std::int64_t>> {};

// Every member of the chain keeps what was promised, and the last cannot be widened: with one more
// channel in any group, more tiles or more time would be needed than are allowed.
TEST_P(AdaptedNetworks, KeepTheirPromises) {
  const auto& [file, chip, extra_tiles] = GetParam();
  TESSERA_SHARED_OR_SKIP(path, std::string("models/") + file + ".onnx");
  const ir::Graph graph = ir::canonicalize(onnx::import_onnx(path));
  const hw::Platform platform = preset(chip);
  const auto& unit = std::get<hw::AnalogUnit>(platform.units.front());
  const auto groups = ir::width_groups(graph);
  const AdaptOptions options{.extra_tiles = extra_tiles};
  const auto chain = adaptations(graph, groups, platform, options);
  ASSERT_GT(chain.size(), 1U);

  const cost::TiledModel original(ir::workload(graph), platform);
  const plan::Assignment reference = reference_assignment(original);
  const auto before = original.evaluate(reference);
  ASSERT_TRUE(before.has_value());
  const auto evaluate = [&](const std::vector<std::int64_t>& widths) {
    const cost::TiledModel model(ir::resized_workload(graph, groups, widths), platform);
    plan::Assignment assignment = reference;
    for (std::size_t i = 0; i < assignment.paths.size(); ++i)
      assignment.paths[i].parts.front().channels.end = model.workload().layers[i].dims.M;
    return std::pair(model.workload(), model.evaluate(assignment));
  };
  const std::int64_t tiles = count_tiles(original.workload(), reference, unit);
  EXPECT_EQ(tiles, before->totals.tiles);
  const double most_ns = before->totals.latency_ns * (1 + options.extra_latency);
  for (const Adaptation& member : chain) {
    const auto [workload, cost] = evaluate(member.widths);
    ASSERT_TRUE(cost.has_value());
    EXPECT_EQ(cost->totals, member.totals);
    EXPECT_LE(count_tiles(workload, reference, unit), tiles + extra_tiles);
    EXPECT_LE(cost->totals.latency_ns, most_ns);
    for (std::size_t i = 0; i < cost->layers.size(); ++i) {
      if (before->layers[i].tiles == 0)
        continue;
      EXPECT_LE(cost->layers[i].latency_ns, before->layers[i].latency_ns);
      if (extra_tiles == 0) {
        EXPECT_EQ(cost->layers[i].mvms, before->layers[i].mvms) << workload.layers[i].name;
      }
    }
  }
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto on_tiles = [&](ir::NodeId id) {
      const auto& layers = original.workload().layers;
      const auto found = std::ranges::find(layers, id, &ir::Layer::node);
      return before->layers[static_cast<std::size_t>(found - layers.begin())].tiles > 0;
    };
    if (std::ranges::none_of(groups[g].writers, on_tiles) &&
        std::ranges::none_of(groups[g].readers, on_tiles)) {
      EXPECT_EQ(chain.back().widths[g], groups[g].width);  // no tiles to fill
      continue;
    }
    std::vector<std::int64_t> widths = chain.back().widths;
    ++widths[g];
    const auto [workload, cost] = evaluate(widths);
    bool slower = !cost || cost->totals.latency_ns > most_ns;
    for (std::size_t i = 0; !slower && i < cost->layers.size(); ++i) {
      slower =
          before->layers[i].tiles > 0 && cost->layers[i].latency_ns > before->layers[i].latency_ns;
    }
    EXPECT_TRUE(slower || count_tiles(workload, reference, unit) > tiles + extra_tiles)
        << groups[g].name << " could have " << widths[g];
  }
}

INSTANTIATE_TEST_SUITE_P(All, AdaptedNetworks,
                         ::testing::Combine(::testing::Values("resnet8_opset13", "resnet20_opset13",
                                                              "mobilenetv1_opset13",
                                                              "mobilenetv2_opset13"),
                                            ::testing::Values("hermes", "lionheart", "ibm_hybrid"),
                                            ::testing::Values(std::int64_t{0}, std::int64_t{3})),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param) + "_" +
                                  std::to_string(std::get<2>(test.param));
                         });

}  // namespace
}  // namespace tessera::supernet
