// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/strum_pe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tessera/core/error.h"

namespace tessera::hw {

namespace {

// One low lane beside one multiplier lane.
struct LowLane {
  double power = 0;
  double area = 0;
};

LowLane low_lane(const StrumPe& pe) {
  struct Lane {
    const StrumPe& pe;
    LowLane operator()(const format::Sparsity&) const { return {}; }  // P3: there is none
    LowLane operator()(const format::Dliq& dliq) const {
      return {dliq.bits / 8.0 * pe.narrow_power.value, dliq.bits / 8.0 * pe.narrow_area.value};
    }
    LowLane operator()(const format::Mip2q& mip2q) const {
      const double shift = mip2q.max_shift;
      return {pe.shifter_power_fixed.value + shift * pe.shifter_power_per_shift.value,
              pe.shifter_area_fixed.value + shift * pe.shifter_area_per_shift.value};
    }
  };
  return std::visit(Lane{pe}, pe.built_for.low);
}

// P1: zeros need no lane; codes must fit the lanes.
bool can_run(const StrumPe& pe, const format::Strum& scheme) {
  if (std::holds_alternative<format::Sparsity>(scheme.low))
    return true;
  if (scheme.low.index() != pe.built_for.low.index())
    return false;
  if (const auto* dliq = std::get_if<format::Dliq>(&scheme.low))
    return dliq->bits <= std::get<format::Dliq>(pe.built_for.low).bits;
  return std::get<format::Mip2q>(scheme.low).max_shift <=
         std::get<format::Mip2q>(pe.built_for.low).max_shift;
}

double share(const format::Strum& scheme) {
  return scheme.low_permille / 1000.0;
}

}  // namespace

Expected<StrumPeFigures> strum_pe_figures(const StrumPe& pe,
                                          const std::optional<format::Strum>& scheme) {
  if (scheme && !can_run(pe, *scheme)) {
    return infeasible(
        "path", fmt::format("a PE built for {} does not run {}", format::to_string(pe.built_for),
                            format::to_string(*scheme)));
  }
  const bool is_static = pe.kind == StrumPeKind::kStatic;
  const double built = share(pe.built_for);
  const double wanted = scheme ? share(*scheme) : 0;
  const bool zeros = scheme && std::holds_alternative<format::Sparsity>(scheme->low);
  const LowLane lane = low_lane(pe);
  StrumPeFigures figures;
  // P2: low lanes take as many low weights as there are lanes; the rest goes through multipliers,
  // of which a static PE has fewer. Zeros that no lane multiplies by go through none.
  const double in_lanes = zeros ? wanted : std::min(wanted, built);
  const double multiplied = 1 - in_lanes;
  if (is_static)
    figures.rate = built < 1 ? std::min(1.0, (1 - built) / multiplied) : multiplied > 0 ? 0.0 : 1.0;
  if (figures.rate <= 0) {
    return infeasible("path",
                      fmt::format("a static PE of low lanes alone does not run {}",
                                  scheme ? format::to_string(*scheme) : "layers without StruM"));
  }
  // P3: work of the lanes, multipliers that are off, and the rest of the PE for as long as it
  // takes.
  const double lanes = pe.lane_power_share.value;
  const double off = is_static ? 0.0 : in_lanes * pe.gated_power.value;
  const double low_work = zeros ? 0.0 : in_lanes * lane.power;
  figures.mac_energy = (1 - lanes) / figures.rate + lanes * (multiplied + low_work + off);
  // P4
  const double multipliers = is_static ? 1 - built : 1.0;
  const double lane_area = pe.lane_area_share.value;
  figures.area = 1 - lane_area + lane_area * (multipliers + built * lane.area);
  return figures;
}

namespace {

using Figure = std::function<double(const StrumPe&)>;

UncertainRatio with_uncertainty(const StrumPe& pe, const Figure& figure) {
  UncertainRatio result{.value = figure(pe)};
  double squares = 0;
  for (Quantity StrumPe::*constant :
       {&StrumPe::lane_power_share, &StrumPe::lane_area_share, &StrumPe::shifter_power_fixed,
        &StrumPe::shifter_power_per_shift, &StrumPe::shifter_area_fixed,
        &StrumPe::shifter_area_per_shift, &StrumPe::narrow_power, &StrumPe::narrow_area,
        &StrumPe::gated_power, &StrumPe::pe_power_share, &StrumPe::pe_area_share}) {
    StrumPe changed = pe;
    (changed.*constant).value *= 1 + (pe.*constant).plus_minus;
    const double change = figure(changed) - result.value;
    squares += change * change;
  }
  result.plus_minus = std::sqrt(squares);
  return result;
}

}  // namespace

StrumSavings strum_savings(StrumPe pe, StrumPeKind kind, const format::Strum& scheme) {
  pe.kind = kind;
  pe.built_for = scheme;
  const auto figures = [&scheme](const StrumPe& p) {
    const auto found = strum_pe_figures(p, scheme);
    TESSERA_CHECK(found.has_value(), "{}", found.error().detail);
    return *found;
  };
  const Figure power = [&](const StrumPe& p) { return 1 - figures(p).mac_energy; };
  const Figure area = [&](const StrumPe& p) { return 1 - figures(p).area; };
  StrumSavings savings;
  savings.pe_power = with_uncertainty(pe, power);
  savings.pe_area = with_uncertainty(pe, area);
  // P5
  savings.accelerator_power =
      with_uncertainty(pe, [&](const StrumPe& p) { return p.pe_power_share.value * power(p); });
  savings.accelerator_area =
      with_uncertainty(pe, [&](const StrumPe& p) { return p.pe_area_share.value * area(p); });
  const auto int8 = strum_pe_figures(pe, std::nullopt);
  savings.int8_rate = int8 ? int8->rate : 0;
  return savings;
}

}  // namespace tessera::hw
