// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/spatial.h"

#include <algorithm>

#include "tessera/core/error.h"

namespace tessera::hw {

int SpatialUnit::find_level(std::string_view level_name) const {
  const auto found = std::ranges::find(levels, level_name, &StorageLevel::name);
  return found == levels.end() ? -1 : static_cast<int>(found - levels.begin());
}

std::vector<std::string> SpatialUnit::level_names() const {
  std::vector<std::string> names;
  for (const StorageLevel& level : levels)
    names.push_back(level.name);
  return names;
}

std::int64_t SpatialUnit::fanout_x(int level) const {
  const std::int64_t inner = level == 0 ? mac.mesh_x : levels[level - 1].mesh_x;
  return std::max<std::int64_t>(inner / levels[level].mesh_x, 1);
}

std::int64_t SpatialUnit::fanout_y(int level) const {
  const std::int64_t inner = level == 0 ? mac.mesh_y : levels[level - 1].mesh_y;
  return std::max<std::int64_t>(inner / levels[level].mesh_y, 1);
}

double mac_energy_pj(const MacLevel& mac, int bits) {
  if (bits == 0)
    return mac.energy_pj;
  if (const auto* fit = std::get_if<MacEnergyFit>(&mac.energy_by_width))
    return fit->quadratic_pj * bits * bits + fit->linear_pj * bits;
  if (const auto* table = std::get_if<MacEnergyTable>(&mac.energy_by_width)) {
    const auto entry =
        std::ranges::find_if(table->pj_of_bits, [&](const auto& row) { return row.first >= bits; });
    if (entry != table->pj_of_bits.end())
      return entry->second;
  }
  return mac.energy_pj;
}

std::int64_t macs_per_cycle(const MacLevel& mac, int bits) {
  if (!mac.sub_word_rate || bits == 0)
    return 1;
  return std::max(mac.word_bits / bits, 1);
}

}  // namespace tessera::hw
