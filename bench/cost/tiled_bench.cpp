// SPDX-License-Identifier: Apache-2.0
// What one evaluation costs a search, on chains of convolutions of the given length.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/cost/tiled.h"

#include "cost/example.h"

namespace tessera::cost {
namespace {

ir::Workload chain(int layers) {
  ir::Workload w;
  for (int i = 0; i < layers; ++i) {
    w.layers.push_back(
        testing::conv("/layer" + std::to_string(i) + "/conv1/Conv",
                      {.C = 16, .M = 16, .R = 3, .S = 3, .P = 32, .Q = 32, .H = 32, .W = 32}));
    const ir::Layer& layer = w.layers.back();
    w.order.push_back({true, i});
    w.edges.push_back({2 * i - 1, 2 * i, layer.input_elements});
    ir::Glue relu;
    relu.name = "/layer" + std::to_string(i) + "/relu/Relu";
    relu.op = "Relu";
    relu.operations = relu.input_elements = relu.output_elements = layer.output_elements;
    w.glue.push_back(relu);
    w.order.push_back({false, i});
    w.edges.push_back({2 * i, 2 * i + 1, layer.output_elements});
  }
  w.edges.push_back({2 * layers - 1, -1, w.layers.back().output_elements});
  return w;
}

TiledModel model(int layers) {
  Rng rng(1);
  return {chain(layers), testing::random_platform(rng)};
}

void totals(benchmark::State& state) {
  const int layers = static_cast<int>(state.range(0));
  const TiledModel m = model(layers);
  std::vector<int> choice(static_cast<std::size_t>(layers));
  for (int i = 0; i < layers; ++i)
    choice[static_cast<std::size_t>(i)] = i % 4;
  for (auto _ : state)
    benchmark::DoNotOptimize(m.totals(choice));
}
BENCHMARK(totals)->Arg(20)->Arg(60);

void evaluate(benchmark::State& state) {
  const int layers = static_cast<int>(state.range(0));
  const TiledModel m = model(layers);
  plan::Assignment assignment;
  for (int i = 0; i < layers; ++i) {
    const auto index = static_cast<std::size_t>(i);
    assignment.paths.push_back(m.candidate_paths(index)[index % 4]);
  }
  for (auto _ : state)
    benchmark::DoNotOptimize(m.evaluate(assignment));
}
BENCHMARK(evaluate)->Arg(20)->Arg(60);

}  // namespace
}  // namespace tessera::cost

BENCHMARK_MAIN();
