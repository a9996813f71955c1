// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/network_nests.h"

#include <algorithm>
#include <map>

#include "tessera/core/error.h"
#include "tessera/search/nest_table.h"

#include "incumbent.h"

namespace tessera::search {
namespace {

using plan::Component;

// C10: what enters and leaves a network.
constexpr int kBorderBits = 8;

cost::Bits bits_of(const ir::LoopProblem& problem, const cost::NestWidths& widths,
                   int partial_sum_bits) {
  cost::Bits bits{.partial_sums = partial_sum_bits};
  const auto set = [&](const char* tensor, int width) {
    bits.tensor[static_cast<std::size_t>(problem.find_tensor(tensor))] = width;
  };
  set("Weights", widths.weights);
  set("Inputs", widths.inputs);
  set("Outputs", widths.outputs);
  return bits;
}

std::vector<cost::NestWidths> all_widths(const std::vector<int>& weights,
                                         const std::vector<int>& activations) {
  std::vector<cost::NestWidths> all;
  for (const int w : weights) {
    for (const int in : activations) {
      for (const int out : activations)
        all.push_back({.weights = w, .inputs = in, .outputs = out});
    }
  }
  return all;
}

// C15: by tensor; of outputs, what the outermost level moves is an activation, the rest partial
// sums.
std::shared_ptr<const cost::NestChoice> choice_of(const plan::LoopNestCost& cost,
                                                  const hw::ArrayUnit& unit,
                                                  const NestTableEntry& entry) {
  cost::NestChoice choice;
  auto nest = std::make_shared<plan::LayerNest>();
  nest->cycles = cost.cycles;
  nest->gap = entry.gap;
  nest->mapping = entry.mapping;
  nest->levels.push_back({unit.array.mac.name, cost.mac_pj});
  choice.energy_pj[Component::kMac] = cost.mac_pj;
  for (std::size_t s = 0; s < cost.levels.size(); ++s) {
    const plan::NestLevelCost& level = cost.levels[s];
    choice.energy_pj[Component::kActivations] += level.leakage_pj;
    for (const plan::NestTraffic& traffic : level.traffic) {
      const bool partial = traffic.tensor == "Outputs" && s + 1 < cost.levels.size();
      const Component component = traffic.tensor == "Weights" ? Component::kWeights
                                  : partial                   ? Component::kAccumulate
                                                              : Component::kActivations;
      choice.energy_pj[component] += traffic.energy_pj;
    }
    if (!level.traffic.empty())
      nest->levels.push_back({level.name, level.energy_pj});
  }
  choice.latency_ns = static_cast<double>(cost.cycles) / unit.clock_ghz.value;
  choice.nest = std::move(nest);
  return std::make_shared<const cost::NestChoice>(std::move(choice));
}

// All choices for one problem, in the order of `widths`; null where no nest runs.
std::vector<std::shared_ptr<const cost::NestChoice>> choices_for(
    const ir::LoopProblem& problem, const hw::ArrayUnit& unit, const NestTable& table,
    const std::vector<cost::NestWidths>& widths) {
  const cost::LoopNestModel model(problem, unit.array);
  std::map<std::string, std::shared_ptr<const cost::NestChoice>> by_packing;
  std::vector<std::shared_ptr<const cost::NestChoice>> choices;
  for (const cost::NestWidths& each : widths) {
    const cost::Bits bits = bits_of(problem, each, unit.partial_sum_bits);
    const auto [known, is_new] = by_packing.try_emplace(model.pricing(bits).key());
    if (is_new) {
      const NestTableEntry* entry = table.find(problem, bits);
      TESSERA_CHECK(entry != nullptr, "widths that the table was not filled for");
      if (!entry->mapping.empty()) {
        const plan::LoopNest nest = plan::parse_loop_nest(
            config::parse_yaml(entry->mapping, "table of loop nests"), model.nest_names());
        const auto cost = model.cost(nest, bits);
        if (!cost) {
          throw ConfigError(fmt::format("table of loop nests: an entry does not run on {}: {}",
                                        unit.array.name, cost.error().detail));
        }
        known->second = choice_of(*cost, unit, *entry);
      }
    }
    choices.push_back(known->second);
  }
  return choices;
}

std::shared_ptr<const cost::LayerNests> nests_on(const hw::ArrayUnit& unit,
                                                 std::span<const LayerProblem> layers,
                                                 const NetworkNestOptions& options) {
  std::vector<int> activations = unit.activation_bits;
  if (std::find(activations.begin(), activations.end(), kBorderBits) == activations.end()) {
    activations.push_back(kBorderBits);
    std::sort(activations.begin(), activations.end());
  }
  const std::vector<cost::NestWidths> widths = all_widths(unit.weight_bits, activations);
  NestTable table(unit.array, options.search);
  if (options.cache && std::filesystem::exists(*options.cache))
    table.read(*options.cache);
  std::vector<ir::LoopProblem> problems;
  std::vector<std::size_t> problem_of;  // by layer
  std::vector<std::string> names;
  for (const LayerProblem& layer : layers) {
    names.push_back(layer.name);
    const auto known = std::find(problems.begin(), problems.end(), layer.problem);
    problem_of.push_back(static_cast<std::size_t>(known - problems.begin()));
    if (known == problems.end())
      problems.push_back(layer.problem);
  }
  const std::size_t before = table.size();
  if (!problems.empty()) {
    // Tensors stand in one order in all convolutions and products.
    std::vector<cost::Bits> bits;
    for (const cost::NestWidths& each : widths)
      bits.push_back(bits_of(problems.front(), each, unit.partial_sum_bits));
    table.fill(problems, bits);
  }
  if (options.cache && table.size() > before)
    table.write(*options.cache);
  std::vector<std::vector<std::shared_ptr<const cost::NestChoice>>> found(problems.size());
  for_each_index(problems.size(), options.search.threads,
                 [&](std::size_t i) { found[i] = choices_for(problems[i], unit, table, widths); });
  auto nests = std::make_shared<cost::LayerNests>(std::move(names), unit.weight_bits, activations);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (std::size_t i = 0; i < widths.size(); ++i)
      nests->set(layer, widths[i], found[problem_of[layer]][i]);
  }
  return nests;
}

}  // namespace

cost::PlatformNests find_network_nests(std::span<const LayerProblem> layers,
                                       const hw::Platform& platform,
                                       const NetworkNestOptions& options) {
  cost::PlatformNests nests(platform.units.size());
  for (std::size_t u = 0; u < nests.size(); ++u) {
    if (const auto* unit = std::get_if<hw::ArrayUnit>(&platform.units[u]))
      nests[u] = nests_on(*unit, layers, options);
  }
  return nests;
}

}  // namespace tessera::search
