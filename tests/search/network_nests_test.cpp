// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/network_nests.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "tessera/core/rng.h"
#include "tessera/cost/tiled.h"
#include "tessera/hw/read_platform.h"
#include "tessera/search/nsga2.h"
#include "tessera/search/samplers.h"

#include "support/shared_files.h"

namespace tessera::search {
namespace {

hw::Platform preset(const std::string& name, std::vector<int> widths) {
  hw::Platform platform = hw::load_platform(name, {testing::source_file("configs/hardware")});
  auto& unit = std::get<hw::ArrayUnit>(platform.units.at(0));
  unit.weight_bits = widths;
  unit.activation_bits = std::move(widths);
  return platform;
}

const hw::ArrayUnit& array_of(const hw::Platform& platform) {
  return std::get<hw::ArrayUnit>(platform.units.at(0));
}

NetworkNestOptions with_threads(int threads) {
  NetworkNestOptions options;
  options.search.threads = threads;
  return options;
}

// Four layers: a convolution, a depthwise and a pointwise one, and a classifier.
std::vector<ir::ConvShape> shapes() {
  return {{.c = 3, .m = 8, .r = 3, .s = 3, .p = 8, .q = 8},
          {.r = 3, .s = 3, .p = 8, .q = 8, .g = 8},
          {.c = 8, .m = 16, .p = 8, .q = 8},
          {.c = 16, .m = 10}};
}

std::vector<LayerProblem> problems() {
  std::vector<LayerProblem> list;
  for (const ir::ConvShape& shape : shapes())
    list.push_back({"layer" + std::to_string(list.size()), ir::conv_problem(shape)});
  return list;
}

ir::Workload workload() {
  ir::Workload w;
  for (const ir::ConvShape& s : shapes()) {
    ir::Layer layer;
    layer.name = "layer" + std::to_string(w.layers.size());
    layer.op = "Conv";
    layer.dims = {.C = s.c * s.g,
                  .M = s.m * s.g,
                  .R = s.r,
                  .S = s.s,
                  .P = s.p,
                  .Q = s.q,
                  .G = s.g,
                  .H = s.p,
                  .W = s.q};
    layer.weights = layer.dims.M * s.c * s.r * s.s;
    layer.macs = layer.weights * s.p * s.q;
    layer.input_elements = layer.dims.C * s.p * s.q;
    layer.output_elements = layer.dims.M * s.p * s.q;
    w.order.push_back({true, static_cast<int>(w.layers.size())});
    const int at = static_cast<int>(w.layers.size());
    w.edges.push_back({at - 1, at, layer.input_elements});
    w.macs += layer.macs;
    w.layers.push_back(layer);
  }
  w.edges.push_back({3, -1, 10});
  return w;
}

TEST(NetworkNests, AreTheMappersOptimaWithTheirCosts) {
  Rng rng(1);
  for (const std::string name : {"eyeriss_like", "eyeriss_like_width_mac", "simba_like"}) {
    const hw::Platform platform = preset(name, {2, 4, 7});
    const auto nests = find_network_nests(problems(), platform, with_threads(2)).at(0);
    ASSERT_NE(nests, nullptr);
    EXPECT_EQ(nests->activation_bits(), (std::vector<int>{2, 4, 7, 8})) << "and the network's ends";
    for (int trial = 0; trial < 12; ++trial) {
      const std::size_t layer = rng.below(4);
      const cost::NestWidths widths{.weights = nests->weight_bits()[rng.below(3)],
                                    .inputs = nests->activation_bits()[rng.below(4)],
                                    .outputs = nests->activation_bits()[rng.below(4)]};
      const cost::LoopNestModel model(problems()[layer].problem, array_of(platform).array);
      const cost::Bits bits{.tensor = {widths.weights, widths.inputs, widths.outputs}};
      const NestSearchResult best = find_nest(MapSpace(model), model.pricing(bits), {});
      ASSERT_TRUE(best.best.has_value());
      const cost::NestChoice* found = nests->find(layer, widths);
      ASSERT_NE(found, nullptr);
      const cost::NestSummary& own = best.best->summary;
      const double value = found->energy_pj.total() * static_cast<double>(found->nest->cycles);
      EXPECT_NEAR(value, own.edp(), 1e-9 * own.edp());
      EXPECT_EQ(found->latency_ns, static_cast<double>(found->nest->cycles)) << "at 1 GHz";
      EXPECT_EQ(found->nest->gap, 0);
      double levels = 0;
      for (const plan::LevelEnergy& level : found->nest->levels)
        levels += level.energy_pj;
      EXPECT_NEAR(levels, found->energy_pj.total(), 1e-9 * levels);
      EXPECT_EQ(found->nest->levels.front().name, "mac");
      // The text is the nest: evaluated again, it costs the same.
      const plan::LoopNest nest = plan::parse_loop_nest(
          config::parse_yaml(found->nest->mapping, "nest"), model.nest_names());
      EXPECT_NEAR(model.cost(nest, bits)->energy_pj, found->energy_pj.total(),
                  1e-9 * found->energy_pj.total());
    }
  }
}

TEST(NetworkNests, ComeFromTheCacheAsTheyWereFound) {
  const hw::Platform platform = preset("eyeriss_like", {4, 8});
  const auto file = std::filesystem::path(::testing::TempDir()) / "network_nests_cache.json";
  std::filesystem::remove(file);
  const NetworkNestOptions options{.search = {}, .cache = file};
  const auto first = find_network_nests(problems(), platform, options).at(0);
  ASSERT_TRUE(std::filesystem::exists(file));
  const auto written = std::filesystem::last_write_time(file);
  const auto second = find_network_nests(problems(), platform, options).at(0);
  EXPECT_EQ(std::filesystem::last_write_time(file), written) << "nothing new was found";
  for (std::size_t layer = 0; layer < 4; ++layer) {
    for (const int bits : {4, 8}) {
      EXPECT_EQ(*first->find(layer, {bits, bits, bits})->nest,
                *second->find(layer, {bits, bits, bits})->nest);
    }
  }
  std::filesystem::remove(file);
}

TEST(NetworkNests, DoNotDependOnTheNumberOfThreads) {
  const hw::Platform platform = preset("simba_like", {3, 8});
  const auto one = find_network_nests(problems(), platform, with_threads(1)).at(0);
  const auto four = find_network_nests(problems(), platform, with_threads(4)).at(0);
  for (std::size_t layer = 0; layer < 4; ++layer) {
    for (const int w : {3, 8}) {
      for (const int a : {3, 8})
        EXPECT_EQ(*one->find(layer, {w, a, 8})->nest, *four->find(layer, {w, a, 8})->nest);
    }
  }
}

// ---- Searching widths over them ----

// Four layers with three widths of weights and of activations each: 6,561 mappings. What a layer
// loses stands in for accuracy: the squared error of rounding, weighted by layer.
struct WidthSearch {
  cost::TiledModel model;
  SearchSpace space;

  explicit WidthSearch(const hw::Platform& platform)
      : model(workload(), platform, find_network_nests(problems(), platform, with_threads(2))) {
    for (int layer = 0; layer < 4; ++layer) {
      for (int tensor = 0; tensor < 2; ++tensor) {
        space.variables.push_back(ChoiceVariable{3, true});
        space.blocks.push_back(layer);
      }
    }
  }

  Evaluation operator()(const Genome& genome) const {
    const std::vector<double> weight = {8, 1, 3, 5};
    std::vector<int> choice;
    double loss = 0;
    for (std::size_t layer = 0; layer < 4; ++layer) {
      const auto w = static_cast<int>(genome[2 * layer]);
      const auto a = static_cast<int>(genome[2 * layer + 1]);
      choice.push_back(3 * w + a);
      const std::vector<int> bits = {2, 4, 8};
      for (const int index : {w, a})
        loss += weight[layer] * std::exp2(-2 * bits[static_cast<std::size_t>(index)]);
    }
    return {{loss, model.totals(choice)->energy_pj}};
  }
};

Archive run(Searcher& searcher, int rounds, const WidthSearch& search) {
  Archive archive;
  for (int round = 0; round < rounds; ++round) {
    const std::vector<Genome> asked = searcher.ask();
    if (asked.empty())
      break;
    const auto values = evaluate_all(asked, std::cref(search), 2);
    for (std::size_t i = 0; i < asked.size(); ++i)
      archive.offer({asked[i], values[i]});
    searcher.tell(values);
  }
  return archive;
}

TEST(NetworkNests, TheFrontsEndsAreThoseOfExhaustiveSearch) {
  for (const std::string name : {"eyeriss_like", "simba_like_width_mac"}) {
    const WidthSearch search(preset(name, {2, 4, 8}));
    ExhaustiveSearch all(search.space, 1000);
    const Archive exact = run(all, 100, search);
    Nsga2 nsga2(search.space,
                {.population = 40, .start = {Genome(8, 0), Genome(8, 1), Genome(8, 2)}}, Rng(3));
    const Archive found = run(nsga2, 40, search);
    for (const std::size_t objective : {0u, 1u}) {
      const auto end = [&](const Archive& archive) {
        const auto points = archive.points();
        return *std::min_element(points.begin(), points.end(), [&](const auto& a, const auto& b) {
          return a[objective] < b[objective];
        });
      };
      EXPECT_EQ(end(found), end(exact)) << name << ", objective " << objective;
    }
    // And nearly all between them, at a quarter of the evaluations.
    const plan::Point reference{3, 1.01 * search(Genome(8, 2)).objectives[1]};
    EXPECT_GT(plan::hypervolume(found.points(), reference),
              0.99 * plan::hypervolume(exact.points(), reference));
  }
}

}  // namespace
}  // namespace tessera::search
