// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/nest_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"

#include "incumbent.h"

namespace tessera::search {
namespace {

using Json = nlohmann::ordered_json;

// Raised when the same inputs may give other nests or costs than before.
constexpr std::int64_t kTableVersion = 1;

std::string bits_of(double value) {
  return fmt::format("{:a}", value);
}

void add_constraint(Sha256& hash, const hw::LoopConstraint& constraint) {
  for (const hw::FactorConstraint& factor : constraint.factors)
    hash.add(factor.dim).add(static_cast<std::int64_t>(factor.kind)).add(factor.factor);
  for (const auto* order : {&constraint.inner, &constraint.outer}) {
    hash.add("order");
    for (const std::string& dim : *order)
      hash.add(dim);
  }
  hash.add(static_cast<std::int64_t>(constraint.split.value_or(-1)));
}

void add_level(Sha256& hash, const hw::StorageLevel& level) {
  hash.add(level.name).add(level.word_bits).add(level.block_words);
  hash.add(level.capacity_words.value_or(-1)).add(level.mesh_x).add(level.mesh_y);
  hash.add(level.cluster_size).add(static_cast<std::int64_t>(level.keeps_nothing));
  for (const auto& bandwidth :
       {level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth, level.min_parallelism})
    hash.add(bits_of(bandwidth.value_or(-1)));
  for (const double energy : {level.read_pj, level.write_pj, level.leak_pj})
    hash.add(bits_of(energy));
  add_constraint(hash, level.temporal);
  add_constraint(hash, level.spatial);
  for (const auto* names : {&level.keep, &level.bypass}) {
    hash.add("tensors");
    for (const std::string& name : *names)
      hash.add(name);
  }
}

void add_problem(Sha256& hash, const ir::LoopProblem& problem) {
  for (const ir::LoopDim& dim : problem.dims)
    hash.add(dim.name).add(dim.bound);
  for (const ir::LoopTensor& tensor : problem.tensors) {
    hash.add(tensor.name).add(static_cast<std::int64_t>(tensor.read_write));
    for (const auto& axis : tensor.axes) {
      hash.add("axis");
      for (const ir::ProjectionTerm& term : axis)
        hash.add(static_cast<std::int64_t>(term.dim)).add(term.coefficient);
    }
  }
}

}  // namespace

NestTable::NestTable(hw::SpatialUnit unit, NestSearchOptions options)
    : unit_(std::move(unit)), options_(std::move(options)) {}

std::string NestTable::key(const cost::LoopNestModel& model, const cost::Pricing& pricing) const {
  Sha256 hash;
  hash.add(kTableVersion);
  add_problem(hash, model.problem());
  for (const hw::StorageLevel& level : unit_.levels)
    add_level(hash, level);
  hash.add(unit_.mac.mesh_x).add(unit_.mac.mesh_y).add(pricing.key());
  for (const double power :
       {options_.objective.energy, options_.objective.delay, options_.objective.last_level})
    hash.add(bits_of(power));
  hash.add(static_cast<std::int64_t>(options_.search)).add(options_.samples);
  hash.add(static_cast<std::int64_t>(options_.seed));
  return hash.hex();
}

std::map<std::string, NestTableEntry> NestTable::find_all(
    const cost::LoopNestModel& model, std::span<const cost::Bits> widths) const {
  std::map<std::string, NestTableEntry> found;
  std::optional<MapSpace> space;
  NestSearchOptions options = options_;
  options.threads = 1;
  options.hints.clear();
  for (const cost::Bits& bits : widths) {
    const cost::Pricing pricing = model.pricing(bits);
    const std::string hash = key(model, pricing);
    const auto known = entries_.find(hash);
    if (found.contains(hash) || (known != entries_.end() && known->second.complete))
      continue;
    if (!space)
      space.emplace(model);
    const NestSearchResult result = find_nest(*space, pricing, options);
    NestTableEntry entry{.gap = result.gap, .complete = !must_stop(options)};
    if (result.best) {
      entry.summary = result.best->summary;
      entry.mapping = plan::to_yaml(model.decompile(result.best->nest));
      options.hints.push_back(result.best->nest);
    }
    found.emplace(hash, std::move(entry));
  }
  return found;
}

void NestTable::fill(std::span<const ir::LoopProblem> problems,
                     std::span<const cost::Bits> widths) {
  std::vector<const ir::LoopProblem*> distinct;
  for (const ir::LoopProblem& problem : problems) {
    if (std::ranges::none_of(distinct, [&](const auto* other) { return *other == problem; }))
      distinct.push_back(&problem);
  }
  std::vector<std::map<std::string, NestTableEntry>> found(distinct.size());
  for_each_index(distinct.size(), options_.threads, [&](std::size_t i) {
    found[i] = find_all(cost::LoopNestModel(*distinct[i], unit_), widths);
  });
  for (auto& part : found) {
    for (auto& [hash, entry] : part)
      entries_.insert_or_assign(hash, std::move(entry));
  }
}

const NestTableEntry* NestTable::find(const ir::LoopProblem& problem,
                                      const cost::Bits& widths) const {
  const cost::LoopNestModel model(problem, unit_);
  const auto entry = entries_.find(key(model, model.pricing(widths)));
  return entry == entries_.end() ? nullptr : &entry->second;
}

void NestTable::write(const std::filesystem::path& path) const {
  Json json = {{"tessera_nest_table", kTableVersion}, {"entries", Json::object()}};
  for (const auto& [hash, entry] : entries_) {
    if (!entry.complete)
      continue;
    json["entries"][hash] = {{"energy_pj", entry.summary.energy_pj},
                             {"cycles", entry.summary.cycles},
                             {"last_level_accesses", entry.summary.last_level_accesses},
                             {"gap", entry.gap},
                             {"mapping", entry.mapping}};
  }
  write_atomic(path, json.dump(1) + "\n");
}

void NestTable::read(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  try {
    const Json json = Json::parse(text);
    if (json.at("tessera_nest_table") != kTableVersion)
      throw ConfigError({path.string(), 1, 1},
                        fmt::format("a table of version {}; allowed: {}",
                                    json.at("tessera_nest_table").dump(), kTableVersion));
    for (const auto& [hash, entry] : json.at("entries").items()) {
      NestTableEntry read;
      read.summary = {entry.at("energy_pj"), entry.at("cycles"), entry.at("last_level_accesses")};
      read.gap = entry.at("gap");
      read.mapping = entry.at("mapping");
      entries_.emplace(hash, std::move(read));
    }
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError({path.string(), 0, 0},
                      fmt::format("not a table of loop nests: {}", error.what()));
  }
}

}  // namespace tessera::search
