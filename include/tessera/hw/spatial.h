// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::hw {

// What a constraint says of the loop over one dimension at one place.
struct FactorConstraint {
  enum class Kind {
    kExactly,  // the bound is `factor`
    kAtMost,   // the bound is at most `factor`
    kFull      // the bound is the whole dimension (written 0)
  };
  std::string dim;
  Kind kind = Kind::kExactly;
  std::int64_t factor = 1;
  bool operator==(const FactorConstraint&) const = default;
};

// Constraints on the temporal or the spatial loops of one level. Dimensions that are not named are
// free.
struct LoopConstraint {
  std::vector<FactorConstraint> factors;
  std::vector<std::string> inner;  // order of the innermost loops, inner to outer
  std::vector<std::string> outer;  // order of the outermost loops (behind a '*')
  std::optional<int> split;  // spatial: so many dimensions of the order go to X, the rest to Y
  bool operator==(const LoopConstraint&) const = default;
};

// A buffer, or a place in the hierarchy that only fans out (keeps nothing). Capacities, bandwidths
// and energies are those of one instance. Spatial loops of a level spread over the instances of the
// next inner one.
struct StorageLevel {
  std::string name;
  std::int64_t word_bits = 16;
  std::int64_t block_words = 1;                // words of one vector access
  std::optional<std::int64_t> capacity_words;  // absent: no limit
  std::int64_t instances = 1;
  std::int64_t mesh_x = 1;  // instances = mesh_x · mesh_y
  std::int64_t mesh_y = 1;
  std::int64_t cluster_size = 1;  // instances that share one vector access
  // Words per cycle; absent: no limit.
  std::optional<double> read_bandwidth;
  std::optional<double> write_bandwidth;
  std::optional<double> shared_bandwidth;  // reads and writes together
  // Of one vector access.
  double read_pj = 0;
  double write_pj = 0;  // fills and updates
  double leak_pj = 0;   // per cycle and used instance
  double area_um2 = 0;

  LoopConstraint temporal;
  LoopConstraint spatial;
  // Tensors that are, or must not be, kept here; those in neither list are free.
  std::vector<std::string> keep;
  std::vector<std::string> bypass;
  bool keeps_nothing = false;             // a fan-out without storage: bypasses every tensor
  std::optional<double> min_parallelism;  // of the spatial loops: used / available fan-out
  bool operator==(const StorageLevel&) const = default;
};

// Energy of one multiply-accumulate against the wider of its two operands.
struct MacEnergyConstant {
  bool operator==(const MacEnergyConstant&) const = default;
};
// Widths ascending; a width between two entries costs what the next wider one does.
struct MacEnergyTable {
  std::vector<std::pair<int, double>> pj_of_bits;
  bool operator==(const MacEnergyTable&) const = default;
};
// quadratic_pj · bits² + linear_pj · bits.
struct MacEnergyFit {
  double quadratic_pj = 0;
  double linear_pj = 0;
  bool operator==(const MacEnergyFit&) const = default;
};
using MacEnergyByWidth = std::variant<MacEnergyConstant, MacEnergyTable, MacEnergyFit>;

struct MacLevel {
  std::string name = "mac";
  std::int64_t instances = 1;
  std::int64_t mesh_x = 1;
  std::int64_t mesh_y = 1;
  int word_bits = 16;
  double energy_pj = 0;  // at word_bits
  double area_um2 = 0;
  MacEnergyByWidth energy_by_width;
  // floor(word_bits / wider operand) multiply-accumulates a cycle instead of one.
  bool sub_word_rate = false;
  bool operator==(const MacLevel&) const = default;
};

// A unit that runs loop nests: an array of MACs under a hierarchy of storage levels.
struct SpatialUnit {
  std::string name;
  std::string summary;
  std::string sha256;                // of the files
  std::string source;                // where its constants come from
  std::vector<StorageLevel> levels;  // inner to outer
  MacLevel mac;

  int find_level(std::string_view level_name) const;  // -1 when absent
  std::vector<std::string> level_names() const;
  // Instances of the next inner level (MACs below level 0) that one instance of level `level` feeds
  // along X and Y.
  std::int64_t fanout_x(int level) const;
  std::int64_t fanout_y(int level) const;
  bool operator==(const SpatialUnit&) const = default;
};

// Of one MAC on operands of `bits` (the wider one); 0 stands for whole words.
double mac_energy_pj(const MacLevel& mac, int bits);
std::int64_t macs_per_cycle(const MacLevel& mac, int bits);

}  // namespace tessera::hw
