// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/platform.h"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/error.h"

#include "platform_schema.h"

namespace tessera::hw {

std::string_view name(const Unit& unit) {
  return std::visit([](const auto& held) -> std::string_view { return held.name; }, unit);
}

const Unit& find_unit(const Platform& platform, std::string_view unit_name) {
  const auto found = std::find_if(platform.units.begin(), platform.units.end(),
                                  [&](const Unit& unit) { return name(unit) == unit_name; });
  TESSERA_CHECK(found != platform.units.end(), "platform {} has no unit '{}'", platform.name,
                unit_name);
  return *found;
}

const Memory& find_memory(const Platform& platform, std::string_view memory_name) {
  const auto found = std::find_if(platform.memories.begin(), platform.memories.end(),
                                  [&](const Memory& memory) { return memory.name == memory_name; });
  TESSERA_CHECK(found != platform.memories.end(), "platform {} has no memory '{}'", platform.name,
                memory_name);
  return *found;
}

std::vector<Provenance> provenance(const Platform& platform) {
  std::vector<Provenance> rows;
  platform_schema().visit(
      platform, "", [&](const std::string& path, const Quantity& quantity, Dimension dimension) {
        // The ratios of a platform are counts ("reads of each weight"), not shares.
        const std::string value = dimension == Dimension::kRatio
                                      ? fmt::format("{:g}", quantity.value)
                                      : format_quantity(quantity.value, dimension);
        rows.push_back({path, value, quantity.plus_minus, quantity.source});
      });
  return rows;
}

}  // namespace tessera::hw
