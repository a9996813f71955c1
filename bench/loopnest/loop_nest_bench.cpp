// SPDX-License-Identifier: Apache-2.0
// Full evaluations of valid loop nests (fan-out, counts, capacities, energy, cycles) and proven
// searches, 8-bit activations and 4-bit weights, one thread:
//
//   build/bench/bench/loopnest/bench_loopnest
//
// Instructions of one evaluation, which do not depend on the machine's mood:
// bench/loopnest/callgrind.
#include <cstdlib>
#include <cstring>
#include <map>

#include <benchmark/benchmark.h>

#include "tessera/core/rng.h"
#include "tessera/hw/read_spatial.h"
#include "tessera/search/mapper.h"

namespace tessera {
namespace {

const std::map<std::string, ir::ConvShape> kLayers = {
    {"resnet18_conv1",
     {.c = 3, .m = 64, .r = 7, .s = 7, .p = 112, .q = 112, .row_stride = 2, .column_stride = 2}},
    {"resnet18_3x3_56", {.c = 64, .m = 64, .r = 3, .s = 3, .p = 56, .q = 56}},
    {"resnet18_3x3_7", {.c = 512, .m = 512, .r = 3, .s = 3, .p = 7, .q = 7}},
    {"resnet18_down_14",
     {.c = 128, .m = 256, .p = 14, .q = 14, .row_stride = 2, .column_stride = 2}},
    {"mobilenetv1_1x1_112", {.c = 32, .m = 64, .p = 112, .q = 112}},
    {"mobilenetv1_1x1_14", {.c = 512, .m = 512, .p = 14, .q = 14}},
    {"mobilenetv1_dw_112", {.r = 3, .s = 3, .p = 112, .q = 112, .g = 32}},
    {"mobilenetv1_dw_14", {.r = 3, .s = 3, .p = 14, .q = 14, .g = 512}}};

struct Setup {
  cost::LoopNestModel model;
  cost::Pricing pricing;

  Setup(const std::string& machine, const std::string& layer)
      : model(ir::conv_problem(kLayers.at(layer)),
              hw::load_spatial_unit(
                  TESSERA_SOURCE_DIR "/configs/hardware/spatial/" + machine + ".yaml", {})),
        pricing(model.pricing({.tensor = {4, 8, 8}})) {}
};

// Valid nests drawn from the whole map space.
std::vector<cost::CompactNest> valid_nests(const Setup& setup, std::size_t count) {
  const search::MapSpace space(setup.model);
  std::vector<cost::CompactNest> nests;
  Rng rng(1);
  while (nests.size() < count) {
    const auto nest =
        space.nest(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(space.size()))));
    if (nest && setup.model.evaluate(*nest, setup.pricing))
      nests.push_back(*nest);
  }
  return nests;
}

void evaluate(benchmark::State& state, const std::string& machine, const std::string& layer) {
  const Setup setup(machine, layer);
  const auto nests = valid_nests(setup, 256);
  std::size_t i = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(setup.model.evaluate(nests[i++ % nests.size()], setup.pricing));
  state.SetItemsProcessed(state.iterations());
}

void prove(benchmark::State& state, const std::string& machine, const std::string& layer) {
  const Setup setup(machine, layer);
  const search::MapSpace space(setup.model);
  for (auto _ : state) {
    const auto result = search::find_nest(space, setup.pricing, {});
    benchmark::DoNotOptimize(result.best);
  }
}

// For instruction counts: so many evaluations and nothing that varies.
void evaluate_times(const std::string& machine, const std::string& layer, int times) {
  const Setup setup(machine, layer);
  const auto nests = valid_nests(setup, 32);
  for (int i = 0; i < times; ++i)
    benchmark::DoNotOptimize(
        setup.model.evaluate(nests[static_cast<std::size_t>(i) % nests.size()], setup.pricing));
}

void register_all() {
  for (const std::string machine : {"eyeriss_like_16b", "simba_like_16b"}) {
    for (const auto& [layer, shape] : kLayers) {
      benchmark::RegisterBenchmark(("evaluate/" + machine + "/" + layer).c_str(), evaluate, machine,
                                   layer);
      benchmark::RegisterBenchmark(("prove/" + machine + "/" + layer).c_str(), prove, machine,
                                   layer)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "--evaluate") == 0) {
    tessera::evaluate_times(argv[2], argv[3], std::atoi(argv[4]));
    return 0;
  }
  tessera::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
