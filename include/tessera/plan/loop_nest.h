// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/config_node.h"

namespace tessera::plan {

struct NestLoop {
  std::string dim;
  std::int64_t bound = 1;
  bool operator==(const NestLoop&) const = default;
};

// The loops of one storage level, each list inner to outer, loops of bound 1 left out. Spatial
// loops stand inside the temporal ones: they spread the level's data over the next inner level, X
// inside Y.
struct NestLevel {
  std::string name;
  std::vector<std::string> keep;  // tensors held here; the others pass through
  std::vector<NestLoop> spatial_x;
  std::vector<NestLoop> spatial_y;
  std::vector<NestLoop> temporal;
  bool operator==(const NestLevel&) const = default;
};

// Tiling, order, spatial unrolling and bypass of one problem on a spatial unit.
struct LoopNest {
  std::vector<std::string> dims;     // of the problem, in its order
  std::vector<std::string> tensors;  // of the problem
  std::vector<NestLevel> levels;     // inner to outer
  bool operator==(const LoopNest&) const = default;
};

// Loops from outer to inner, indented, a line each; levels and what they keep as headings.
std::string to_text(const LoopNest& nest);
// A mapping in Timeloop's form; parse_loop_nest() of it gives the same nest.
std::string to_yaml(const LoopNest& nest);
nlohmann::ordered_json to_json(const LoopNest& nest);

// What a mapping file is read against.
struct NestNames {
  std::vector<std::string> dims;
  std::vector<std::int64_t> bounds;  // of the dimensions
  std::vector<std::string> tensors;
  std::vector<std::string> levels;             // inner to outer
  std::vector<std::vector<std::string>> keep;  // of each level, where the file says nothing
};
// Timeloop's mapping YAML: `mapping:` with entries of type temporal, spatial and datatype (or
// bypass). A factor of 0 is what the others leave. Throws ConfigError with file, line and column
// for unknown levels, dimensions and tensors, and for factors that do not multiply up.
LoopNest parse_loop_nest(const config::Document& document, const NestNames& names);

// Accesses of one tensor at one level, in values (not words), of one instance.
struct NestTraffic {
  std::string tensor;
  std::int64_t tile = 0;            // values held at a time
  std::int64_t partition = 0;       // values that pass through this instance in all
  std::int64_t capacity_words = 0;  // words that the tile takes, packed
  std::int64_t values_per_word = 1;
  // In packed words.
  std::int64_t reads = 0;
  std::int64_t fills = 0;
  std::int64_t updates = 0;
  std::int64_t temporal_reductions = 0;
  double energy_pj = 0;  // of all instances
  bool operator==(const NestTraffic&) const = default;
};

struct NestLevelCost {
  std::string name;
  std::int64_t instances = 1;  // used
  std::int64_t clusters = 1;   // used: instances that pay for a vector access
  double energy_pj = 0;        // traffic and leakage
  double leakage_pj = 0;
  double slowdown = 1;  // at most 1: bandwidth / demand
  std::int64_t cycles = 0;
  std::vector<NestTraffic> traffic;  // of the tensors kept here
  bool operator==(const NestLevelCost&) const = default;
};

// What one loop nest costs. energy_pj = mac_pj + Σ levels' energy_pj.
struct LoopNestCost {
  std::int64_t macs = 0;
  std::int64_t mac_instances = 1;  // used
  double mac_pj = 0;
  double energy_pj = 0;
  std::int64_t cycles = 0;
  double utilization = 0;          // used / all MACs, over all cycles
  double last_level_accesses = 0;  // words, at the outermost level
  double area_um2 = 0;
  std::vector<NestLevelCost> levels;                                      // inner to outer
  double edp() const { return energy_pj * static_cast<double>(cycles); }  // pJ · cycles
  bool operator==(const LoopNestCost&) const = default;
};

// A table by level and tensor.
std::string to_text(const LoopNestCost& cost);
nlohmann::ordered_json to_json(const LoopNestCost& cost);

}  // namespace tessera::plan
