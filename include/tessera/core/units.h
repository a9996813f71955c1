// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "tessera/core/expected.h"

namespace tessera {

// What a quantity measures, and the base unit in which Tessera holds it.
enum class Dimension {
  kEnergy,     // pJ
  kTime,       // ns
  kFrequency,  // GHz (1 / ns)
  kPower,      // mW (pJ / ns)
  kArea,       // mm2
  kData,       // bytes
  kBandwidth,  // bytes / ns
  kLength,     // nm
  kVoltage,    // V
  kRatio,      // 1 ("10%" is 0.1)
};

std::string_view name(Dimension dimension);
std::string_view base_unit(Dimension dimension);

// Reads "5.24 nJ", "120uJ", "40 ns", "1.5 GHz", "256 KiB", "16 GB/s", "10%". The unit is required
// except for ratios; SI prefixes f p n u µ m k M G T, binary Ki Mi Gi for data. The error's detail
// says what was found and which units are allowed.
Expected<double> parse_quantity(std::string_view text, Dimension dimension);

// A value in base units with the prefix that leaves 1 to 999 before the point, three or four
// significant digits: format_quantity(5240, kEnergy) == "5.24 nJ".
std::string format_quantity(double value, Dimension dimension);

// The shortest spelling that parse_quantity() reads back to the same bits, the base unit's among
// equals: exact_quantity(86400e9, kTime) == "1 d".
std::string exact_quantity(double value, Dimension dimension);

}  // namespace tessera
