// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/text.h"
#include "tessera/cost/loop_nest_records.h"

namespace tessera::cost {
namespace {

using Json = nlohmann::json;

constexpr double kEnergyTolerance = 1e-9;

std::int64_t coefficient(const std::string& term, const Json& sizes, std::string& dim) {
  const std::vector<std::string> parts = split(term, '*');
  dim = parts[0];
  std::int64_t product = 1;
  for (std::size_t i = 1; i < parts.size(); ++i)
    product *= sizes.at(parts[i]).get<std::int64_t>();
  return product;
}

ir::LoopProblem read_problem(const Json& json) {
  ir::LoopProblem problem;
  const Json& sizes = json.at("problem");
  for (const Json& dim : json.at("dims"))
    problem.dims.push_back({dim.get<std::string>(), sizes.at(dim.get<std::string>())});
  for (const Json& tensor : json.at("tensors")) {
    ir::LoopTensor out{
        .name = tensor.at("name"), .axes = {}, .read_write = tensor.at("read_write")};
    for (const Json& axis : tensor.at("projection")) {
      std::vector<ir::ProjectionTerm> terms;
      for (const Json& term : axis) {
        std::string dim;
        const std::int64_t factor = coefficient(term.get<std::string>(), sizes, dim);
        terms.push_back({problem.find_dim(dim), factor});
      }
      out.axes.push_back(std::move(terms));
    }
    problem.tensors.push_back(std::move(out));
  }
  return problem;
}

std::optional<double> optional_number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null())
    return std::nullopt;
  return found->get<double>();
}

hw::StorageLevel read_level(const Json& json) {
  hw::StorageLevel level;
  level.name = json.at("name");
  level.word_bits = json.at("word_bits");
  level.block_words = json.at("block_size");
  if (!json.at("size_words").is_null())
    level.capacity_words = json.at("size_words").get<std::int64_t>();
  level.instances = json.at("instances");
  level.mesh_x = json.at("meshX");
  level.mesh_y = json.at("meshY");
  level.cluster_size = json.at("cluster_size");
  level.read_bandwidth = optional_number(json, "read_bw");
  level.write_bandwidth = optional_number(json, "write_bw");
  return level;
}

// Sizes from the record's levels; the MACs stand as the innermost level's instances do unless the
// machine has more of them.
hw::SpatialUnit read_unit(const Json& json, const hw::SpatialUnit* preset, bool& has_energies) {
  hw::SpatialUnit unit;
  const Json& energies = json.at("level_energy_pJ");
  has_energies = !energies.is_null() || preset != nullptr;
  for (const Json& level : json.at("levels")) {
    if (level.at("kind") == "compute") {
      unit.mac.name = level.at("name");
      unit.mac.instances = level.at("instances");
      continue;
    }
    unit.levels.push_back(read_level(level));
    hw::StorageLevel& out = unit.levels.back();
    if (!energies.is_null() && energies.contains(out.name)) {
      out.read_pj = energies.at(out.name).at(0);
      out.write_pj = energies.at(out.name).at(1);
    } else if (preset != nullptr) {
      const int index = preset->find_level(out.name);
      out.read_pj = index < 0 ? 0 : preset->levels[index].read_pj;
      out.write_pj = index < 0 ? 0 : preset->levels[index].write_pj;
    }
  }
  const hw::StorageLevel& inner = unit.levels.front();
  unit.mac.mesh_x = inner.mesh_x;
  unit.mac.mesh_y = inner.mesh_y * std::max<std::int64_t>(unit.mac.instances / inner.instances, 1);
  unit.mac.energy_pj = optional_number(json, "mac_pJ").value_or(0);
  return unit;
}

plan::NestLevel& level_of(plan::LoopNest& nest, const std::string& name) {
  const auto found = std::ranges::find(nest.levels, name, &plan::NestLevel::name);
  if (found == nest.levels.end())
    throw ConfigError("no level '" + name + "'");
  return *found;
}

plan::LoopNest read_nest(const Json& json, const ir::LoopProblem& problem,
                         const hw::SpatialUnit& unit) {
  plan::LoopNest nest{problem.dim_names(), problem.tensor_names(), {}};
  for (const hw::StorageLevel& level : unit.levels) {
    nest.levels.push_back({.name = level.name,
                           .keep = json.at("keep").at(level.name),
                           .spatial_x = {},
                           .spatial_y = {},
                           .temporal = {}});
  }
  for (const Json& block : json.at("mapping")) {
    plan::NestLevel& level = level_of(nest, block.at("target"));
    const bool spatial = block.at("type") == "spatial";
    const std::string order = block.at("permutation_inner_to_outer");
    const int index = unit.find_level(level.name);
    // Without a split all loops lie along the side that has room.
    const std::size_t all = unit.fanout_x(index) > 1 ? order.size() : 0;
    const std::size_t split = block.value("split", all);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const plan::NestLoop loop{std::string(1, order[i]),
                                block.at("factors").at(order.substr(i, 1))};
      if (loop.bound > 1)
        (!spatial ? level.temporal : i < split ? level.spatial_x : level.spatial_y).push_back(loop);
    }
  }
  return nest;
}

std::vector<plan::NestLevelCost> read_expected(const Json& json) {
  std::vector<plan::NestLevelCost> levels;
  for (const Json& level : json.at("levels")) {
    if (level.at("kind") == "compute")
      continue;
    plan::NestLevelCost row;
    row.name = level.at("name");
    row.cycles = level.at("cycles");
    for (const auto& [tensor, data] : level.at("data").items()) {
      row.traffic.push_back({.tensor = tensor,
                             .partition = data.at("partition_size"),
                             .capacity_words = data.at("utilized_capacity_words"),
                             .values_per_word = data.at("operands_per_word"),
                             .reads = data.at("reads"),
                             .fills = data.at("fills"),
                             .updates = data.at("updates"),
                             .temporal_reductions = data.at("temporal_reductions"),
                             .energy_pj = data.at("energy_per_instance_pJ")});
    }
    levels.push_back(std::move(row));
  }
  return levels;
}

NestRecord read_record(const Json& json, const FindUnit& find_unit) {
  NestRecord record;
  record.id = json.at("id");
  record.layer = json.at("layer");
  record.architecture = json.at("architecture");
  record.problem = read_problem(json);
  record.unit = read_unit(json, find_unit(record.architecture), record.has_energies);
  record.nest = read_nest(json, record.problem, record.unit);
  if (const Json& bits = json.at("bitwidths"); !bits.is_null()) {
    for (std::size_t t = 0; t < record.problem.tensors.size() && t < kMaxTensors; ++t)
      record.bits.tensor[t] = bits.at(record.problem.tensors[t].name);
  }
  record.fills = json.at("output_fills") == "2023" ? OutputFills::k2023 : OutputFills::kCurrent;
  record.cycles = json.at("cycles");
  record.energy_pj = optional_number(json, "energy_pJ");
  record.levels = read_expected(json);
  return record;
}

bool close(double found, double expected) {
  return std::abs(found - expected) <= kEnergyTolerance * std::abs(expected);
}

std::string compare_traffic(const std::string& level, const plan::NestTraffic& found,
                            const plan::NestTraffic& expected, bool with_energy) {
  const auto differs = [&](const char* what, std::int64_t a, std::int64_t b) {
    return a == b ? std::string()
                  : fmt::format("{} of {} at {}: {}, record {}", what, found.tensor, level, a, b);
  };
  for (const std::string& text :
       {differs("partition", found.partition, expected.partition),
        differs("capacity", found.capacity_words, expected.capacity_words),
        differs("values per word", found.values_per_word, expected.values_per_word),
        differs("reads", found.reads, expected.reads),
        differs("fills", found.fills, expected.fills),
        differs("updates", found.updates, expected.updates),
        differs("reductions", found.temporal_reductions, expected.temporal_reductions)}) {
    if (!text.empty())
      return text;
  }
  if (with_energy && !close(found.energy_pj, expected.energy_pj))
    return fmt::format("energy of {} at {}: {:.17g} pJ, record {:.17g} pJ", found.tensor, level,
                       found.energy_pj, expected.energy_pj);
  return "";
}

std::string compare_level(const plan::NestLevelCost& found, const plan::NestLevelCost& expected,
                          bool with_energy) {
  if (found.cycles != expected.cycles)
    return fmt::format("cycles of {}: {}, record {}", found.name, found.cycles, expected.cycles);
  if (found.traffic.size() != expected.traffic.size())
    return fmt::format("{} tensors kept at {}, record {}", found.traffic.size(), found.name,
                       expected.traffic.size());
  for (plan::NestTraffic row : found.traffic) {
    const auto match = std::ranges::find(expected.traffic, row.tensor, &plan::NestTraffic::tensor);
    if (match == expected.traffic.end())
      return fmt::format("{} kept at {}, not in the record", row.tensor, found.name);
    row.energy_pj /= static_cast<double>(found.instances);
    if (std::string text = compare_traffic(found.name, row, *match, with_energy); !text.empty())
      return text;
  }
  return "";
}

}  // namespace

std::vector<NestRecord> read_nest_records(const std::filesystem::path& path,
                                          const FindUnit& find_unit) {
  const std::string text = read_gzip_text(path);
  std::vector<NestRecord> records;
  int line_number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++line_number;
    if (trim(line).empty())
      continue;
    const auto refuse = [&](std::string_view why) {
      throw ConfigError({path.string(), line_number, 1},
                        fmt::format("not a record of a loop nest: {}", why));
    };
    try {
      records.push_back(read_record(Json::parse(line), find_unit));
    } catch (const nlohmann::json::exception& error) {
      refuse(error.what());
    } catch (const ConfigError& error) {
      refuse(error.what());
    }
  }
  return records;
}

std::string compare_with_record(const NestRecord& record) {
  const LoopNestModel model(record.problem, record.unit);
  const auto cost = model.cost(record.nest, record.bits, record.fills);
  if (!cost)
    return fmt::format("rejected: {}: {}", cost.error().reason, cost.error().detail);
  if (cost->cycles != record.cycles)
    return fmt::format("cycles: {}, record {}", cost->cycles, record.cycles);
  for (std::size_t s = 0; s < record.levels.size(); ++s) {
    if (std::string text = compare_level(cost->levels[s], record.levels[s], record.has_energies);
        !text.empty())
      return text;
  }
  if (record.has_energies && record.energy_pj && !close(cost->energy_pj, *record.energy_pj))
    return fmt::format("energy: {:.17g} pJ, record {:.17g} pJ", cost->energy_pj, *record.energy_pj);
  return "";
}

}  // namespace tessera::cost
