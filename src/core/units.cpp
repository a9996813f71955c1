// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera {
namespace {

// A unit that may be written, and its size in the dimension's base unit. The first entries are
// those that format_quantity() chooses from, ascending.
struct Unit {
  std::string_view name;
  double size;
};

constexpr Unit kEnergy[] = {{"fJ", 1e-3}, {"pJ", 1},   {"nJ", 1e3},
                            {"uJ", 1e6},  {"mJ", 1e9}, {"J", 1e12}};
constexpr Unit kTime[] = {{"ps", 1e-3}, {"ns", 1},     {"us", 1e3},   {"ms", 1e6},
                          {"s", 1e9},   {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
constexpr Unit kFrequency[] = {{"Hz", 1e-9}, {"kHz", 1e-6}, {"MHz", 1e-3}, {"GHz", 1}};
constexpr Unit kPower[] = {{"nW", 1e-6}, {"uW", 1e-3}, {"mW", 1}, {"W", 1e3}};
constexpr Unit kArea[] = {{"um2", 1e-6}, {"mm2", 1}, {"cm2", 100}};
constexpr Unit kData[] = {{"B", 1},    {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824},
                          {"kB", 1e3}, {"MB", 1e6},   {"GB", 1e9}};
constexpr Unit kBandwidth[] = {{"B/s", 1e-9}, {"kB/s", 1e-6}, {"MB/s", 1e-3},
                               {"GB/s", 1},   {"TB/s", 1e3},  {"B/ns", 1}};
constexpr Unit kLength[] = {{"nm", 1}, {"um", 1e3}, {"mm", 1e6}};
constexpr Unit kVoltage[] = {{"mV", 1e-3}, {"V", 1}};
constexpr Unit kRatio[] = {{"", 1}, {"%", 0.01}};

std::span<const Unit> units_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::kEnergy:
      return kEnergy;
    case Dimension::kTime:
      return kTime;
    case Dimension::kFrequency:
      return kFrequency;
    case Dimension::kPower:
      return kPower;
    case Dimension::kArea:
      return kArea;
    case Dimension::kData:
      return kData;
    case Dimension::kBandwidth:
      return kBandwidth;
    case Dimension::kLength:
      return kLength;
    case Dimension::kVoltage:
      return kVoltage;
    case Dimension::kRatio:
      return kRatio;
  }
  TESSERA_CHECK(false, "dimension {}", static_cast<int>(dimension));
}

std::string allowed_units(Dimension dimension) {
  if (dimension == Dimension::kRatio)
    return "a number or a percentage";
  std::string text;
  for (const Unit& unit : units_of(dimension)) {
    text += (text.empty() ? "" : ", ") + std::string(unit.name);
  }
  return "a number with one of " + text;
}

}  // namespace

std::string_view name(Dimension dimension) {
  constexpr std::array<std::string_view, 10> names = {"energy",  "time",      "frequency", "power",
                                                      "area",    "data size", "bandwidth", "length",
                                                      "voltage", "ratio"};
  return names.at(static_cast<std::size_t>(dimension));
}

std::string_view base_unit(Dimension dimension) {
  constexpr std::array<std::string_view, 10> names = {"pJ", "ns",   "GHz", "mW", "mm2",
                                                      "B",  "B/ns", "nm",  "V",  ""};
  return names.at(static_cast<std::size_t>(dimension));
}

Expected<double> parse_quantity(std::string_view text, Dimension dimension) {
  const std::string_view trimmed = trim(text);
  double number = 0;
  const auto [end, code] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), number);
  const auto refuse = [&](std::string_view why) {
    return infeasible("quantity",
                      fmt::format("'{}' is not a quantity of {} ({}); allowed: {}", text,
                                  name(dimension), why, allowed_units(dimension)));
  };
  if (code != std::errc() || !std::isfinite(number))
    return refuse("no finite number at its start");
  std::string unit(trim(trimmed.substr(static_cast<std::size_t>(end - trimmed.data()))));
  // Both code points for micro (U+00B5, U+03BC) are what people type.
  for (const std::string_view micro : {"\u00b5", "\u03bc"}) {
    if (unit.starts_with(micro))
      unit = "u" + unit.substr(micro.size());
  }
  if (const std::size_t at = unit.find("\u00b2"); at != std::string::npos)
    unit.replace(at, 2, "2");
  for (const Unit& known : units_of(dimension)) {
    if (unit == known.name)
      return number * known.size;
  }
  return refuse(unit.empty() ? "the unit is missing" : "unknown unit '" + unit + "'");
}

std::string format_quantity(double value, Dimension dimension) {
  const std::span<const Unit> units = units_of(dimension);
  if (dimension == Dimension::kRatio)
    return fmt::format("{:.3g} %", value * 100);
  // Only the ascending first part: what follows are other spellings of the same sizes.
  std::size_t count = 1;
  while (count < units.size() && units[count].size > units[count - 1].size)
    ++count;
  if (dimension == Dimension::kTime)
    count = 5;  // people read 90 s, but 5,400 s as h and min elsewhere
  std::size_t best = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::abs(value) >= units[i].size * 0.99995)
      best = i;
  }
  if (value == 0) {
    return fmt::format("0 {}", base_unit(dimension));
  }
  const double scaled = value / units[best].size;
  const int decimals = std::abs(scaled) >= 99.995 ? 1 : std::abs(scaled) >= 9.9995 ? 2 : 3;
  return fmt::format("{:.{}f} {}", scaled, decimals, units[best].name);
}

std::string exact_quantity(double value, Dimension dimension) {
  const std::string_view base = base_unit(dimension);
  std::string best = base.empty() ? fmt::format("{}", value) : fmt::format("{} {}", value, base);
  if (value == 0)
    return best;
  for (const Unit& unit : units_of(dimension)) {
    const std::string text = fmt::format(
        "{}{}{}", value / unit.size, unit.name.empty() || unit.name == "%" ? "" : " ", unit.name);
    const Expected<double> back = parse_quantity(text, dimension);
    if (text.size() < best.size() && back && *back == value)
      best = text;
  }
  return best;
}

}  // namespace tessera
