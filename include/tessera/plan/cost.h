// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::plan {

// Where energy and time go. Every row of a cost splits into these; a total is the sum of its rows.
enum class Component {
  kAnalogMvm,    // tiles: DAC, array, ADC
  kMac,          // digital multiply-accumulate
  kWeights,      // weight traffic
  kActivations,  // activation traffic to and from memory
  kAccumulate,   // partial sums of split layers, output scaling
  kConversion,   // between formats
  kLink,         // between units
  kGlue,         // everything without weights
};
inline constexpr std::size_t kComponentCount = 8;
std::string_view name(Component component);  // "analog_mvm", …

struct Breakdown {
  std::array<double, kComponentCount> pj{};
  double& operator[](Component c) { return pj[static_cast<std::size_t>(c)]; }
  double operator[](Component c) const { return pj[static_cast<std::size_t>(c)]; }
  double total() const;
  Breakdown& operator+=(const Breakdown& other);
  bool operator==(const Breakdown&) const = default;
};

// Energy at one place of a spatial unit: a level of its memory hierarchy, or its MACs.
struct LevelEnergy {
  std::string name;
  double energy_pj = 0;
  bool operator==(const LevelEnergy&) const = default;
};

// The loop nest that a layer runs as on a spatial unit.
struct LayerNest {
  std::int64_t cycles = 0;
  double gap = 0;                   // to the proven optimum of the mapper's objective; 0: proven
  std::vector<LevelEnergy> levels;  // inner to outer, MACs first; sum to the layer's nest
  std::string mapping;              // in Timeloop's form
  bool operator==(const LayerNest&) const = default;
};

// Cost of one layer on one path, per image. Cells are those of the tiles that hold the layer.
struct LayerCost {
  Breakdown energy_pj;
  double latency_ns = 0;
  std::int64_t weight_bytes = 0;  // digital storage at the stored width; 0 on analog tiles
  std::int64_t tiles = 0;
  std::vector<std::int64_t> part_tiles;  // of each part of the path; sums to `tiles`
  std::int64_t mvms = 0;                 // tile activations
  std::int64_t used_cells = 0;
  std::int64_t allocated_cells = 0;
  double programming_pj = 0;  // once, before any inference; not part of energy_pj
  std::optional<LayerNest> nest = std::nullopt;  // on spatial units
  bool operator==(const LayerCost&) const = default;
};

struct GlueCost {
  Breakdown energy_pj;
  double latency_ns = 0;
  bool operator==(const GlueCost&) const = default;
};

// An activation that crosses from one unit or format to another.
struct LinkCost {
  std::string from;  // layer or glue name, or "input"
  std::string to;
  std::int64_t bytes = 0;
  Breakdown energy_pj;
  double latency_ns = 0;
  bool operator==(const LinkCost&) const = default;
};

struct Totals {
  double energy_pj = 0;
  Breakdown breakdown;
  double latency_ns = 0;
  double area_mm2 = 0;
  std::int64_t digital_weight_bytes = 0;
  double analog_weight_fraction = 0;  // of layers' weights
  double analog_mac_ratio = 0;
  double analog_utilization = 0;  // used cells / allocated cells
  std::int64_t tiles = 0;
  std::int64_t macs = 0;
  std::int64_t params = 0;
  double programming_pj = 0;
  bool operator==(const Totals&) const = default;
};

// Cost of a whole mapping, per image; rows in the workload's order.
struct Cost {
  std::vector<LayerCost> layers;
  std::vector<GlueCost> glue;
  std::vector<LinkCost> links;
  Totals totals;
  bool operator==(const Cost&) const = default;
};

// Where the energy of layers on spatial units goes: their nests' levels summed by name, in the
// order in which they come (MACs, then inner to outer), and "other", all that no nest accounts for.
// Empty when no layer runs as a nest; else the sum is the total.
std::vector<LevelEnergy> level_energies(const Cost& cost);

}  // namespace tessera::plan
