// SPDX-License-Identifier: Apache-2.0
// Pricing mappings of a network on a platform with spatial units, as CSV: seconds to find all loop
// nests, then microseconds for each mapping drawn at random, one thread.
//
//   build/bench/bench/search/genome_speed HARDWARE NETWORK.onnx...
#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "tessera/core/rng.h"
#include "tessera/cost/tiled.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/passes.h"
#include "tessera/onnx/import.h"
#include "tessera/search/network_nests.h"

namespace {

using namespace tessera;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void time_network(const hw::Platform& platform, const std::filesystem::path& file) {
  const ir::Graph graph = ir::canonicalize(onnx::import_onnx(file));
  const ir::Workload workload = ir::workload(graph);
  std::vector<search::LayerProblem> problems;
  for (const ir::Layer& layer : workload.layers)
    problems.push_back({layer.name, ir::conv_problem(ir::conv_shape(graph, layer))});
  const Clock::time_point table_start = Clock::now();
  search::NetworkNestOptions options;
  options.search.threads = 2;
  const cost::TiledModel model(workload, platform,
                               search::find_network_nests(problems, platform, options));
  const double table_seconds = seconds_since(table_start);
  std::vector<std::size_t> counts;
  for (std::size_t layer = 0; layer < workload.layers.size(); ++layer)
    counts.push_back(model.candidate_paths(layer).size());
  constexpr int kGenomes = 1000;
  constexpr int kTimes = 20;
  Rng rng(1);
  std::vector<std::vector<int>> choices(kGenomes);
  for (std::vector<int>& choice : choices) {
    for (const std::size_t count : counts)
      choice.push_back(static_cast<int>(rng.below(count)));
  }
  double energy_pj = 0;
  const Clock::time_point start = Clock::now();
  for (int time = 0; time < kTimes; ++time) {
    for (const std::vector<int>& choice : choices)
      energy_pj += model.totals(choice)->energy_pj;
  }
  const double microseconds = 1e6 * seconds_since(start) / (kGenomes * kTimes);
  fmt::print("{},{},{},{:.1f},{:.2f},{:.1f}\n", file.stem().string(), platform.name,
             workload.layers.size(), table_seconds, microseconds,
             energy_pj / (kGenomes * kTimes) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  const hw::Platform platform = hw::load_platform(argv[1], hw::platform_folders());
  fmt::print("network,platform,layers,table_s,genome_us,mean_energy_uj\n");
  for (int i = 2; i < argc; ++i)
    time_network(platform, argv[i]);
  return 0;
}
