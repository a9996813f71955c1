// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tessera/core/quantity.h"
#include "tessera/format/number_format.h"
#include "tessera/hw/strum_pe.h"

namespace tessera::hw {

using tessera::Quantity;

// Crossbar tiles that multiply a vector with a stored matrix in one step. Energy of an MVM that
// uses r rows and c columns: fixed + r·per_row + c·per_column + r·c·per_cell, so that a half-empty
// tile costs what it costs.
struct AnalogUnit {
  std::string name;
  double node_nm = 0;
  std::int64_t tile_rows = 0;     // inputs
  std::int64_t tile_columns = 0;  // outputs (each a differential pair)
  std::int64_t tiles = 0;
  int dac_bits = 8;
  int adc_bits = 8;
  std::string noise_preset;  // of nn/analog: "pcm-lionheart"
  Quantity mvm_latency_ns;
  Quantity mvm_fixed_pj;
  Quantity mvm_row_pj;
  Quantity mvm_column_pj;
  Quantity mvm_cell_pj;
  Quantity program_cell_pj;  // writing one weight once, before any inference
  Quantity tile_area_mm2;
  // Adding partial sums of split layers and scaling outputs, in the unit's periphery, per output
  // element.
  Quantity accumulate_pj;
  bool operator==(const AnalogUnit&) const = default;
};

// One precision that a digital unit offers.
struct DigitalMode {
  format::NumberFormat format;
  double macs_per_cycle = 0;
  Quantity mac_pj;
  bool operator==(const DigitalMode&) const = default;
};

// Resident: the network's weights stay in `weight_memory`, whose capacity limits them; they are
// still read from there for every image. Streamed: the weights come through `weight_memory` from
// outside the chip, which holds any number of them.
enum class WeightResidency { kResident, kStreamed };

// MACs at listed precisions.
struct DigitalUnit {
  std::string name;
  double node_nm = 0;
  Quantity clock_ghz;
  std::vector<DigitalMode> modes;  // with a StruM PE: of the plain PE that it was made from
  std::optional<StrumPe> strum_pe;
  std::string weight_memory;  // name of a Memory
  WeightResidency weight_residency = WeightResidency::kResident;
  // Times each weight (input) is read from memory for one image: 1 when it is held in the array
  // until used up. A layer's weight traffic is weights·weight_reads, its input traffic
  // inputs·input_reads.
  Quantity weight_reads;
  Quantity input_reads;
  Quantity area_mm2;
  bool operator==(const DigitalUnit&) const = default;
};

// What the unit offers to searches: its modes, and with a StruM PE the PE's schemes, each at the
// rate and energy that the PE runs it at (docs/strum.md). A static PE may run no mode at all.
std::vector<DigitalMode> offered_modes(const DigitalUnit& unit);
// The mode of this format, also of a StruM scheme that is not offered but that the PE can run.
Expected<DigitalMode> find_mode(const DigitalUnit& unit, const format::NumberFormat& format);
// With a StruM PE, the unit's array of PEs takes that PE's share of the stated area.
double area_mm2(const DigitalUnit& unit);

using Unit = std::variant<AnalogUnit, DigitalUnit>;
std::string_view name(const Unit& unit);

struct Memory {
  std::string name;
  double node_nm = 0;
  Quantity capacity_bytes;
  Quantity read_pj_per_byte;
  Quantity write_pj_per_byte;
  Quantity bandwidth_bytes_per_ns;
  Quantity area_mm2;
  bool operator==(const Memory&) const = default;
};

// Transport of activations between two units (either order); the pair that is not listed costs
// `default_link`.
struct Link {
  std::string from;
  std::string to;
  Quantity energy_pj_per_byte;
  Quantity bandwidth_bytes_per_ns;
  bool operator==(const Link&) const = default;
};

// Work that is not a MAC: element-wise glue and conversions between formats.
struct GlueUnit {
  double node_nm = 0;
  Quantity operation_pj;   // one element operation (add, compare) at 16 bit
  Quantity conversion_pj;  // one element from one format to another
  Quantity operations_per_ns;
  bool operator==(const GlueUnit&) const = default;
};

// One chip.
struct Platform {
  std::string name;
  std::string summary;
  std::string sha256;        // of the file
  double node_nm = 0;        // the node that all figures are stated at or scaled to
  std::string node_scaling;  // how figures from other nodes were scaled, with the source
  std::vector<Unit> units;
  std::vector<Memory> memories;
  std::string activation_memory;  // where activations live between layers
  std::vector<Link> links;
  Link default_link;
  GlueUnit glue;
  bool operator==(const Platform&) const = default;
};

const Unit& find_unit(const Platform& platform,
                      std::string_view unit_name);  // InternalError if absent
const Memory& find_memory(const Platform& platform, std::string_view memory_name);

// Every constant with its path in the file ("units.pcm.mvm.fixed"), for the report's provenance
// table.
struct Provenance {
  std::string path;
  std::string value;  // "524 pJ"
  double plus_minus = 0;
  std::string source;
};
std::vector<Provenance> provenance(const Platform& platform);

}  // namespace tessera::hw
