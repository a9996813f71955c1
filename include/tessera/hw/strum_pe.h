// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/core/quantity.h"
#include "tessera/format/number_format.h"

namespace tessera::hw {

// Static: of the lanes of a PE a share p multiplies by low weights alone, in place of as many
// multipliers; the PE is smaller. Dynamic: all multipliers stay and low lanes are added; where a
// low lane works, a multiplier is off.
enum class StrumPeKind { kStatic, kDynamic };

// A processing element that runs StruM layers, described beside the plain INT8 PE that it was made
// from: all figures are shares of that PE's power or area, or ratios to one multiplier lane. P1 to
// P5 of docs/strum.md.
struct StrumPe {
  StrumPeKind kind = StrumPeKind::kDynamic;
  format::Strum built_for;             // p is the share of low lanes, the low set what they compute
  std::vector<format::Strum> schemes;  // offered to searches; any other that it can run is run, too
  Quantity lane_power_share;           // multipliers with their operand registers, of the PE
  Quantity lane_area_share;
  // A shifter lane of largest shift L beside a multiplier lane: fixed + L · per_shift.
  Quantity shifter_power_fixed;
  Quantity shifter_power_per_shift;
  Quantity shifter_area_fixed;
  Quantity shifter_area_per_shift;
  // A lane of a q x 8 bit multiplier beside a multiplier lane: q / 8 times this.
  Quantity narrow_power;
  Quantity narrow_area;
  Quantity gated_power;  // a multiplier lane that is off, beside one that works
  // The array of PEs within the whole accelerator with its memories and control.
  Quantity pe_power_share;
  Quantity pe_area_share;
  bool operator==(const StrumPe&) const = default;
};

// Beside a plain INT8 PE at its full rate.
struct StrumPeFigures {
  double mac_energy = 1;  // power / rate
  double area = 1;
  double rate = 1;  // MACs in a time
};

// A StruM layer, or one without (INT8 or anything else that needs multipliers): nullopt. "path":
// the low lanes cannot compute this scheme.
Expected<StrumPeFigures> strum_pe_figures(const StrumPe& pe,
                                          const std::optional<format::Strum>& scheme);

// A figure with what the ± of the PE's constants make of it, taken as independent: the root of the
// squared changes.
struct UncertainRatio {
  double value = 0;
  double plus_minus = 0;  // absolute
};

// What a PE built for a scheme saves on it, beside the plain INT8 PE and accelerator; negative: it
// costs more. Power at equal rate, of which a full lane's work is the measure.
struct StrumSavings {
  UncertainRatio pe_power;
  UncertainRatio pe_area;
  UncertainRatio accelerator_power;
  UncertainRatio accelerator_area;
  double int8_rate = 1;  // of layers in INT8 on this PE
};
StrumSavings strum_savings(StrumPe pe, StrumPeKind kind, const format::Strum& scheme);

}  // namespace tessera::hw
