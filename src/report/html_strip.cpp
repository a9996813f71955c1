// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "html_parts.h"
#include "view.h"

namespace tessera::report::detail {
namespace {

// The precision alone, as it fits a cell: "int8", "analog".
std::string short_title(const plan::Path& path) {
  if (path.parts.size() != 1)
    return "mixed";
  const format::NumberFormat& format = path.parts.front().format;
  return std::holds_alternative<format::Analog>(format) ? "analog" : format::to_string(format);
}

std::string cell_tip(const ir::Layer& layer, const plan::Path& path, const plan::LayerCost* cost) {
  std::string tip =
      fmt::format("{}\n{}\n{} MACs", layer.name, plan::to_string(path), count(layer.macs));
  if (cost != nullptr) {
    tip += fmt::format("\n{}, {}", quantity(cost->energy_pj.total(), Dimension::kEnergy),
                       quantity(cost->latency_ns, Dimension::kTime));
    if (cost->tiles > 0) {
      tip += fmt::format("\n{} {}, {} used", cost->tiles, cost->tiles == 1 ? "tile" : "tiles",
                         utilization(*cost));
    }
  }
  return tip;
}

// One row of cells; `costs` of the chosen mapping alone.
std::string strip(const Page& page, const plan::Candidate& candidate,
                  const std::vector<plan::LayerCost>* costs) {
  const std::vector<ir::Layer>& layers = page.record.workload.layers;
  std::string out = "<div class=\"strip\" role=\"list\">";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const plan::Path& path = candidate.assignment.paths[i];
    const std::string tip =
        escape_html(cell_tip(layers[i], path, costs == nullptr ? nullptr : &(*costs)[i]));
    const std::string ink =
        path.parts.size() == 1 ? page.colors.of(path.parts.front()).foreground : "#ffffff";
    out += fmt::format(
        "<div class=\"cell\" role=\"listitem\" tabindex=\"0\" style=\"flex-grow:{};"
        "background:{};color:{}\" data-tip=\"{}\" aria-label=\"{}\"><span>{}</span></div>",
        std::max<std::int64_t>(layers[i].macs, 1), page.colors.background(path), ink, tip, tip,
        escape_html(short_title(path)));
  }
  return out + "</div>";
}

std::string strip_row(const Page& page, const plan::Candidate& candidate,
                      const std::optional<Comparison>& where) {
  const bool chosen = candidate.kind == "chosen";
  const auto& chosen_costs = page.record.chosen.cost.layers;
  const bool with_costs = chosen && chosen_costs.size() == page.record.workload.layers.size() &&
                          candidate.assignment == page.record.chosen.assignment;
  const plan::Accuracy* accuracy = where ? accuracy_at(candidate, *where) : nullptr;
  const std::string figures =
      quantity(candidate.totals.energy_pj, Dimension::kEnergy) +
      (accuracy == nullptr ? std::string() : " · " + percent(accuracy->mean, 1));
  return fmt::format(
      "<div class=\"strip-row{}\"><div class=\"strip-name\"><b>{}</b><span>{}</span></div>{}</div>",
      chosen ? " chosen" : "", escape_html(candidate.label), figures,
      strip(page, candidate, with_costs ? &chosen_costs : nullptr));
}

}  // namespace

std::string network_strips(const Page& page) {
  const std::size_t layers = page.record.workload.layers.size();
  const auto where = main_comparison(page.candidates);
  std::vector<const plan::Candidate*> rows;
  for (const plan::Candidate& candidate : page.candidates) {
    if (layers > 0 && candidate.assignment.paths.size() == layers)
      rows.push_back(&candidate);
  }
  if (rows.empty())
    return "";
  // The chosen mapping first, then by rising energy.
  std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
    const auto key = [](const plan::Candidate& c) {
      return std::pair(c.kind != "chosen", c.totals.energy_pj);
    };
    return key(*a) < key(*b);
  });
  std::string out = "<ul class=\"legend\">";
  for (const PathColors::Entry& entry : page.colors.entries()) {
    out += fmt::format("<li><i style=\"background:{}\"></i>{}</li>", entry.background,
                       escape_html(entry.title));
  }
  out += "</ul><div class=\"strips\">";
  for (const plan::Candidate* row : rows)
    out += strip_row(page, *row, where);
  return out + "</div>";
}

}  // namespace tessera::report::detail
