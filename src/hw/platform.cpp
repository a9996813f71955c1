// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/platform.h"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/error.h"

#include "platform_schema.h"

namespace tessera::hw {

namespace {

std::optional<DigitalMode> listed_mode(const DigitalUnit& unit,
                                       const format::NumberFormat& format) {
  const auto mode = std::find_if(unit.modes.begin(), unit.modes.end(),
                                 [&](const DigitalMode& m) { return m.format == format; });
  if (mode != unit.modes.end())
    return *mode;
  const auto* integer = std::get_if<format::Integer>(&format);
  if (integer == nullptr || integer->group == 0)
    return std::nullopt;
  // Groups change where weights' scales come from, not what is multiplied.
  format::Integer plain = *integer;
  plain.group = 0;
  auto grouped = listed_mode(unit, plain);
  if (grouped)
    grouped->format = format;
  return grouped;
}

// A mode of the plain PE on the StruM PE.
DigitalMode on_strum_pe(DigitalMode mode, const StrumPeFigures& figures) {
  mode.macs_per_cycle *= figures.rate;
  mode.mac_pj.value *= figures.mac_energy;
  return mode;
}

std::string mode_names(const DigitalUnit& unit) {
  std::string names;
  for (const DigitalMode& mode : offered_modes(unit))
    names += (names.empty() ? "" : ", ") + format::to_string(mode.format);
  return names;
}

}  // namespace

Expected<DigitalMode> find_mode(const DigitalUnit& unit, const format::NumberFormat& format) {
  const auto listed = listed_mode(unit, format);
  if (!unit.strum_pe) {
    if (listed)
      return *listed;
    return infeasible("path", fmt::format("unit '{}' does not run {}; it runs {}", unit.name,
                                          format::to_string(format), mode_names(unit)));
  }
  const auto* scheme = std::get_if<format::Strum>(&format);
  if (!listed && scheme == nullptr) {
    return infeasible("path", fmt::format("unit '{}' does not run {}; it runs {}", unit.name,
                                          format::to_string(format), mode_names(unit)));
  }
  const auto figures =
      strum_pe_figures(*unit.strum_pe, scheme != nullptr ? std::optional(*scheme) : std::nullopt);
  if (!figures)
    return infeasible("path", fmt::format("unit '{}': {}", unit.name, figures.error().detail));
  if (listed)
    return on_strum_pe(*listed, *figures);
  const auto int8 = listed_mode(unit, format::Integer{.weight_bits = 8, .activation_bits = 8});
  TESSERA_CHECK(int8.has_value(), "unit '{}' has a StruM PE and no int8 mode", unit.name);
  DigitalMode mode = on_strum_pe(*int8, *figures);
  mode.format = format;
  return mode;
}

std::vector<DigitalMode> offered_modes(const DigitalUnit& unit) {
  if (!unit.strum_pe)
    return unit.modes;
  std::vector<DigitalMode> offered;
  const auto offer = [&](const format::NumberFormat& format) {
    if (auto mode = find_mode(unit, format))
      offered.push_back(std::move(*mode));
  };
  for (const DigitalMode& mode : unit.modes)
    offer(mode.format);
  for (const format::Strum& scheme : unit.strum_pe->schemes)
    offer(scheme);
  return offered;
}

double area_mm2(const DigitalUnit& unit) {
  if (!unit.strum_pe)
    return unit.area_mm2.value;
  const StrumPe& pe = *unit.strum_pe;
  const auto figures = strum_pe_figures(pe, pe.built_for);
  TESSERA_CHECK(figures.has_value(), "{}", figures.error().detail);
  return unit.area_mm2.value * (1 + pe.pe_area_share.value * (figures->area - 1));
}

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

namespace {

void add_array(const ArrayUnit& unit, std::vector<Provenance>& rows) {
  const auto add = [&](const std::string& what, double picojoules) {
    rows.push_back({.path = fmt::format("units.{}.{}", unit.name, what),
                    .value = format_quantity(picojoules, Dimension::kEnergy),
                    .source = unit.array.source});
  };
  for (const StorageLevel& level : unit.array.levels) {
    if (level.keeps_nothing)
      continue;
    add(level.name + ".read", level.read_pj);
    add(level.name + ".write", level.write_pj);
  }
  add(unit.array.mac.name, unit.array.mac.energy_pj);
}

}  // namespace

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
  for (const Unit& unit : platform.units) {
    if (const auto* array = std::get_if<ArrayUnit>(&unit))
      add_array(*array, rows);
  }
  return rows;
}

}  // namespace tessera::hw
