// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/loop_nest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/core/units.h"

namespace tessera::plan {
namespace {

using Json = nlohmann::ordered_json;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

void add_loop(std::string& text, int& depth, const NestLoop& loop, std::string_view where) {
  text += fmt::format("{:{}}for {} in 0..{}{}\n", "", 2 * depth, loop.dim, loop.bound, where);
  ++depth;
}

// "C3 M1 …" for every dimension.
std::string factors(const std::vector<std::string>& dims, const std::vector<NestLoop>& loops) {
  std::vector<std::string> words;
  for (const std::string& dim : dims) {
    const auto loop = std::ranges::find(loops, dim, &NestLoop::dim);
    words.push_back(fmt::format("{}{}", dim, loop == loops.end() ? 1 : loop->bound));
  }
  return fmt::format("{}", fmt::join(words, " "));
}

// Dimensions of the loops, then all others.
std::string order(const std::vector<std::string>& dims, const std::vector<NestLoop>& loops) {
  std::vector<std::string> names;
  for (const NestLoop& loop : loops)
    names.push_back(loop.dim);
  for (const std::string& dim : dims) {
    if (!contains(names, dim))
      names.push_back(dim);
  }
  const bool letters =
      std::ranges::all_of(names, [](const std::string& name) { return name.size() == 1; });
  return fmt::format("{}", fmt::join(names, letters ? "" : ","));
}

std::string list(const std::vector<std::string>& names) {
  return fmt::format("[{}]", fmt::join(names, ", "));
}

Json to_json(const std::vector<NestLoop>& loops) {
  Json json = Json::array();
  for (const NestLoop& loop : loops)
    json.push_back({{"dim", loop.dim}, {"bound", loop.bound}});
  return json;
}

}  // namespace

std::string to_text(const LoopNest& nest) {
  std::string text;
  int depth = 0;
  for (auto level = nest.levels.rbegin(); level != nest.levels.rend(); ++level) {
    const std::string keeps = level->keep.empty()
                                  ? std::string("fans out")
                                  : fmt::format("keeps {}", fmt::join(level->keep, ", "));
    text += fmt::format("{:{}}-- {} {}\n", "", 2 * depth, level->name, keeps);
    for (auto loop = level->temporal.rbegin(); loop != level->temporal.rend(); ++loop)
      add_loop(text, depth, *loop, "");
    for (auto loop = level->spatial_y.rbegin(); loop != level->spatial_y.rend(); ++loop)
      add_loop(text, depth, *loop, "  (in parallel along Y)");
    for (auto loop = level->spatial_x.rbegin(); loop != level->spatial_x.rend(); ++loop)
      add_loop(text, depth, *loop, "  (in parallel along X)");
  }
  return text + fmt::format("{:{}}multiply and accumulate\n", "", 2 * depth);
}

std::string to_yaml(const LoopNest& nest) {
  std::string text = "mapping:\n";
  for (const NestLevel& level : nest.levels) {
    std::vector<std::string> bypass;
    for (const std::string& tensor : nest.tensors) {
      if (!contains(level.keep, tensor))
        bypass.push_back(tensor);
    }
    text += fmt::format("  - {{target: {}, type: datatype, keep: {}, bypass: {}}}\n", level.name,
                        list(level.keep), list(bypass));
  }
  for (const NestLevel& level : nest.levels) {
    std::vector<NestLoop> spatial = level.spatial_x;
    spatial.insert(spatial.end(), level.spatial_y.begin(), level.spatial_y.end());
    if (!spatial.empty()) {
      text += fmt::format(
          "  - {{target: {}, type: spatial, factors: {}, permutation: \"{}\", split: {}}}\n",
          level.name, factors(nest.dims, spatial), order(nest.dims, spatial),
          level.spatial_x.size());
    }
    text += fmt::format("  - {{target: {}, type: temporal, factors: {}, permutation: \"{}\"}}\n",
                        level.name, factors(nest.dims, level.temporal),
                        order(nest.dims, level.temporal));
  }
  return text;
}

Json to_json(const LoopNest& nest) {
  Json json = Json::array();
  for (const NestLevel& level : nest.levels) {
    json.push_back({{"level", level.name},
                    {"keep", level.keep},
                    {"spatial_x", to_json(level.spatial_x)},
                    {"spatial_y", to_json(level.spatial_y)},
                    {"temporal", to_json(level.temporal)}});
  }
  return json;
}

std::string to_text(const LoopNestCost& cost) {
  const auto energy = [](double pj) { return format_quantity(pj, Dimension::kEnergy); };
  std::string text = fmt::format("{:<22} {:<10} {:>13} {:>13} {:>13} {:>9} {:>11}\n", "level",
                                 "tensor", "reads", "fills", "updates", "words", "energy");
  text += fmt::format("{:<22} {:<10} {:>13} {:>13} {:>13} {:>9} {:>11}\n", "MAC", "", cost.macs, "",
                      "", "", energy(cost.mac_pj));
  for (const NestLevelCost& level : cost.levels) {
    std::string name = level.name;
    for (const NestTraffic& row : level.traffic) {
      text +=
          fmt::format("{:<22} {:<10} {:>13} {:>13} {:>13} {:>9} {:>11}\n", name, row.tensor,
                      row.reads, row.fills, row.updates, row.capacity_words, energy(row.energy_pj));
      name.clear();
    }
    if (level.leakage_pj > 0)
      text += fmt::format("{:<22} {:<10} {:>64}\n", name, "leakage", energy(level.leakage_pj));
    if (level.slowdown < 1)
      text += fmt::format("{:<22} holds back to {} cycles\n", "", level.cycles);
  }
  return text + fmt::format("energy {}, {} cycles, EDP {:.6g} J·cycles, utilization {:.1f} %\n",
                            energy(cost.energy_pj), cost.cycles, cost.edp() * 1e-12,
                            100 * cost.utilization);
}

Json to_json(const LoopNestCost& cost) {
  Json levels = Json::array();
  levels.push_back({{"level", "mac"},
                    {"instances", cost.mac_instances},
                    {"macs", cost.macs},
                    {"energy_pj", cost.mac_pj}});
  for (const NestLevelCost& level : cost.levels) {
    Json tensors = Json::array();
    for (const NestTraffic& row : level.traffic) {
      tensors.push_back({{"tensor", row.tensor},
                         {"tile", row.tile},
                         {"words", row.capacity_words},
                         {"values_per_word", row.values_per_word},
                         {"reads", row.reads},
                         {"fills", row.fills},
                         {"updates", row.updates},
                         {"energy_pj", row.energy_pj}});
    }
    levels.push_back({{"level", level.name},
                      {"instances", level.instances},
                      {"cycles", level.cycles},
                      {"slowdown", level.slowdown},
                      {"leakage_pj", level.leakage_pj},
                      {"energy_pj", level.energy_pj},
                      {"tensors", std::move(tensors)}});
  }
  return levels;
}

}  // namespace tessera::plan
