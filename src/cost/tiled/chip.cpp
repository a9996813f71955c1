// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "tessera/core/error.h"

#include "path_table.h"

namespace tessera::cost {

namespace {

int memory_index(const hw::Platform& platform, std::string_view name) {
  for (std::size_t i = 0; i < platform.memories.size(); ++i) {
    if (platform.memories[i].name == name)
      return static_cast<int>(i);
  }
  TESSERA_CHECK(false, "platform {} has no memory '{}'", platform.name, name);
}

void check_rate(double rate, std::string_view what) {
  TESSERA_CHECK(rate > 0, "{} is {}", what, rate);
}

}  // namespace

Encoding wider(Encoding a, Encoding b) {
  if (a.is_float != b.is_float)
    return a.is_float ? a : b;
  return a.bits >= b.bits ? a : b;
}

std::int64_t stored_bytes(std::int64_t elements, Encoding encoding) {
  return (elements * encoding.bits + 7) / 8;
}

Chip::Chip(const hw::Platform& platform) : platform_(&platform) {
  activations_ =
      &platform
           .memories[static_cast<std::size_t>(memory_index(platform, platform.activation_memory))];
  for (const hw::Memory& memory : platform.memories)
    check_rate(memory.bandwidth_bytes_per_ns.value, "bandwidth of memory " + memory.name);
  check_rate(platform.glue.operations_per_ns.value, "rate of glue operations");
  check_rate(platform.default_link.bandwidth_bytes_per_ns.value, "bandwidth of the default link");

  for (const hw::Unit& unit : platform.units) {
    const auto* digital = std::get_if<hw::DigitalUnit>(&unit);
    weight_memory_.push_back(digital ? memory_index(platform, digital->weight_memory) : -1);
    if (!digital)
      continue;
    check_rate(digital->clock_ghz.value, "clock of unit " + digital->name);
    for (const hw::DigitalMode& mode : digital->modes)
      check_rate(mode.macs_per_cycle, "MACs per cycle of unit " + digital->name);
  }

  links_.assign(unit_count() * unit_count(), &platform.default_link);
  for (const hw::Link& link : platform.links) {
    check_rate(link.bandwidth_bytes_per_ns.value, "bandwidth of link " + link.from);
    const int from = unit_index(link.from);
    const int to = unit_index(link.to);
    if (from < 0 || to < 0)
      continue;  // a link to something that runs no layers
    const std::size_t n = unit_count();
    links_[static_cast<std::size_t>(from) * n + static_cast<std::size_t>(to)] = &link;
    links_[static_cast<std::size_t>(to) * n + static_cast<std::size_t>(from)] = &link;
  }
}

int Chip::unit_index(std::string_view unit_name) const {
  const auto& units = platform_->units;
  const auto found = std::find_if(units.begin(), units.end(), [&](const hw::Unit& unit) {
    return hw::name(unit) == unit_name;
  });
  return found == units.end() ? -1 : static_cast<int>(found - units.begin());
}

const hw::Memory& Chip::weight_memory(const hw::DigitalUnit& unit) const {
  const int index = weight_memory_index(unit_index(unit.name));
  return platform_->memories[static_cast<std::size_t>(index)];
}

const hw::Link& Chip::link(int from, int to) const {
  return *links_[static_cast<std::size_t>(from) * unit_count() + static_cast<std::size_t>(to)];
}

double Chip::area_mm2() const {
  struct Area {
    double operator()(const hw::AnalogUnit& u) const {
      return static_cast<double>(u.tiles) * u.tile_area_mm2.value;
    }
    double operator()(const hw::DigitalUnit& u) const { return hw::area_mm2(u); }
  };
  double sum = 0;
  for (const hw::Unit& unit : platform_->units)
    sum += std::visit(Area{}, unit);
  for (const hw::Memory& memory : platform_->memories)
    sum += memory.area_mm2.value;
  return sum;
}

}  // namespace tessera::cost
