// SPDX-License-Identifier: Apache-2.0
// Tables for docs/results/loopnest.md:
//
//   network_tables proofs    every layer of three networks on both machines: proofs, gaps, time
//   network_tables widths    MobileNetV1 and V2 at uniform widths, depthwise as such and as dense
//   network_tables classes   MobileNetV1's table over all widths of 2 to 8 bits: time, entries
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

#include "tessera/core/error.h"
#include "tessera/hw/read_spatial.h"
#include "tessera/search/nest_table.h"

#include "network_layers.h"

namespace tessera::bench {
namespace {

const std::map<std::string, std::vector<NetworkLayer>> kNetworks = {
    {"MobileNetV1", mobilenet_v1()}, {"MobileNetV2", mobilenet_v2()}, {"ResNet-18", resnet18()}};

hw::SpatialUnit machine(const std::string& name) {
  return hw::load_spatial_unit(TESSERA_SOURCE_DIR "/configs/hardware/spatial/" + name + ".yaml",
                               {});
}

cost::Bits widths(int inputs, int weights, int outputs) {
  return {.tensor = {weights, inputs, outputs}};
}

void proofs() {
  fmt::print("machine,network,layers,proven,largest_gap,longest_s,total_s,energy_pj,cycles\n");
  for (const std::string name : {"eyeriss_like_16b", "simba_like_16b"}) {
    for (const auto& [network, layers] : kNetworks) {
      int proven = 0;
      double gap = 0;
      double longest = 0;
      double seconds = 0;
      cost::NestSummary total;
      for (const NetworkLayer& layer : layers) {
        const cost::LoopNestModel model(ir::conv_problem(layer.shape), machine(name));
        const search::MapSpace space(model);
        search::NestSearchOptions options;
        options.threads = 2;
        options.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        const auto result = search::find_nest(space, model.pricing(widths(8, 4, 8)), options);
        TESSERA_CHECK(result.best, "no nest for {}", layer.name);
        proven += result.gap == 0 ? 1 : 0;
        gap = std::max(gap, result.gap);
        longest = std::max(longest, result.seconds);
        seconds += result.seconds;
        total.energy_pj += result.best->summary.energy_pj;
        total.cycles += result.best->summary.cycles;
      }
      fmt::print("{},{},{},{},{:.4f},{:.3f},{:.3f},{},{}\n", name, network, layers.size(), proven,
                 gap, longest, seconds, total.energy_pj, total.cycles);
    }
  }
}

void at_widths() {
  fmt::print("machine,network,depthwise,bits,energy_pj,memory_pj,cycles,edp\n");
  for (const std::string name : {"eyeriss_like_16b", "simba_like_16b"}) {
    for (const std::string network : {"MobileNetV1", "MobileNetV2"}) {
      for (const bool is_dense : {false, true}) {
        std::vector<ir::LoopProblem> problems;
        for (const NetworkLayer& layer : kNetworks.at(network))
          problems.push_back(ir::conv_problem(is_dense ? dense(layer.shape) : layer.shape));
        search::NestSearchOptions options;
        options.threads = 2;
        search::NestTable table(machine(name), options);
        std::vector<cost::Bits> uniform;
        for (int bits = 2; bits <= 8; ++bits)
          uniform.push_back(widths(bits, bits, bits));
        table.fill(problems, uniform);
        for (int bits = 2; bits <= 8; ++bits) {
          cost::NestSummary total;
          double macs = 0;
          for (const ir::LoopProblem& problem : problems) {
            const auto* entry = table.find(problem, widths(bits, bits, bits));
            total.energy_pj += entry->summary.energy_pj;
            total.cycles += entry->summary.cycles;
            macs += static_cast<double>(problem.macs());
          }
          fmt::print("{},{},{},{},{},{},{},{}\n", name, network, is_dense ? "dense" : "true", bits,
                     total.energy_pj, total.energy_pj - macs * machine(name).mac.energy_pj,
                     total.cycles, total.edp());
        }
      }
    }
  }
}

void classes() {
  fmt::print("machine,network,layers,choices,entries,seconds\n");
  std::vector<ir::LoopProblem> problems;
  for (const NetworkLayer& layer : mobilenet_v1())
    problems.push_back(ir::conv_problem(layer.shape));
  std::vector<cost::Bits> all;
  for (int i = 2; i <= 8; ++i) {
    for (int w = 2; w <= 8; ++w) {
      for (int o = 2; o <= 8; ++o)
        all.push_back(widths(i, w, o));
    }
  }
  search::NestSearchOptions options;
  options.threads = 2;
  const auto start = std::chrono::steady_clock::now();
  search::NestTable table(machine("eyeriss_like_16b"), options);
  table.fill(problems, all);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("eyeriss_like_16b,MobileNetV1,{},{},{},{:.1f}\n", problems.size(), all.size(),
             table.size(), seconds.count());
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  const std::string what = argc == 2 ? argv[1] : "";
  if (what == "proofs")
    tessera::bench::proofs();
  else if (what == "widths")
    tessera::bench::at_widths();
  else if (what == "classes")
    tessera::bench::classes();
  else
    return 2;
  return 0;
}
