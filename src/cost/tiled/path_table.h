// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/workload.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/path.h"

namespace tessera::cost {

// How activations are stored. Equal encodings need no conversion (C9).
struct Encoding {
  bool is_float = false;
  int bits = 8;
  bool operator==(const Encoding&) const = default;
};

// The one that can hold both: floats above integers, then the wider.
Encoding wider(Encoding a, Encoding b);

// Packed, whole bytes.
std::int64_t stored_bytes(std::int64_t elements, Encoding encoding);

// A platform with its names resolved. Holds pointers into the platform, which must outlive it.
class Chip {
 public:
  explicit Chip(const hw::Platform& platform);

  const hw::Platform& platform() const { return *platform_; }
  const hw::Memory& activations() const { return *activations_; }
  std::size_t unit_count() const { return platform_->units.size(); }
  int unit_index(std::string_view unit_name) const;  // -1: no such unit
  // Index into Platform::memories of a digital unit's weights; -1 for analog units.
  int weight_memory_index(int unit) const { return weight_memory_[static_cast<std::size_t>(unit)]; }
  const hw::Memory& weight_memory(const hw::DigitalUnit& unit) const;
  const hw::Link& link(int from, int to) const;
  double area_mm2() const;

 private:
  const hw::Platform* platform_;
  const hw::Memory* activations_ = nullptr;
  std::vector<int> weight_memory_;
  std::vector<const hw::Link*> links_;  // unit_count() squared
};

// One part of a path, costed as far as it does not depend on the neighbours: all channels of one
// unit and format, wherever they lie (C8).
struct PartTable {
  int unit = 0;
  std::int64_t channels = 0;
  Encoding encoding;
  std::int64_t input_elements = 0;
  double input_reads = 1;
  double compute_ns = 0;
  double weight_ns = 0;           // weight traffic on a memory of its own
  double activation_bytes = 0;    // traffic on the activation memory besides the inputs
  std::int64_t tiles = 0;         // of an analog unit
  std::int64_t stored_bytes = 0;  // weights and biases that stay in the unit's memory
};

// One layer on one path.
struct PathTable {
  plan::Path path;
  std::vector<PartTable> parts;  // most channels first
  plan::LayerCost fixed;         // without the inputs' traffic; latency_ns: what no overlap hides
  std::int64_t analog_macs = 0;
  // Where and how the outputs lie (C8: those of a split layer are gathered).
  int output_unit = 0;
  Encoding output;
};

// "path" and "channels" as TiledModel::layer_cost() says.
Expected<PathTable> make_path_table(const Chip& chip, const ir::Layer& layer,
                                    const plan::Path& path);

// The costs of `channels` channels (whole groups) in one unit and format; adds those that depend on
// nothing else to `fixed` and `analog_macs` of `table`. "path" as TiledModel::layer_cost() says.
Expected<PartTable> cost_channels(const Chip& chip, const ir::Layer& layer, const std::string& unit,
                                  const format::NumberFormat& format, std::int64_t channels,
                                  PathTable& table);

// A part by itself: without the reading of its inputs, C13's longest of computing and weights.
double busy_ns(const PartTable& part);
// Its traffic on the activation memory, the input stored as `source`.
double activation_ns(const Chip& chip, const PartTable& part, Encoding source);

// C8: what it takes to bring a part's outputs to where and how a split layer's lie.
struct Gathering {
  double link_pj = 0;
  double conversion_pj = 0;
  double latency_ns = 0;
};
Gathering gathering(const Chip& chip, const ir::Layer& layer, const PartTable& part,
                    int output_unit, Encoding output);

// The layer's row when its input is stored as `source`.
plan::LayerCost layer_row(const Chip& chip, const PathTable& table, Encoding source);

// What the chosen paths (one per layer) exceed, if anything: "tiles" or "memory" (C12).
std::optional<Infeasible> check_budgets(const Chip& chip, const ir::Workload& workload,
                                        std::span<const PathTable* const> choice);

}  // namespace tessera::cost
