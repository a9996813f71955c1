// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "html_parts.h"
#include "view.h"

namespace tessera::report::detail {
namespace {

// What the network loses with this layer alone on the path; none when it was not measured.
std::optional<double> drop_of(const Page& page, const std::string& layer, const std::string& path) {
  for (const plan::Sensitivity& s : page.record.sensitivity) {
    if (s.layer == layer && s.path == path && std::isfinite(s.accuracy_drop))
      return s.accuracy_drop;
  }
  return std::nullopt;
}

// None when the layer has no other path that fits.
const plan::Alternative* next_best(const Page& page, const std::string& layer) {
  const plan::Alternative* best = nullptr;
  const auto is_better = [&](const plan::Alternative& a, const plan::Alternative& b) {
    const bool saves = a.energy_pj < 0;
    if (saves != (b.energy_pj < 0))
      return saves;
    const auto drop_a = drop_of(page, layer, a.path);
    const auto drop_b = drop_of(page, layer, b.path);
    if (saves && drop_a && drop_b && *drop_a != *drop_b)
      return *drop_a < *drop_b;
    return a.energy_pj < b.energy_pj;
  };
  for (const plan::Alternative& a : page.record.alternatives) {
    if (a.layer == layer && (best == nullptr || is_better(a, *best)))
      best = &a;
  }
  return best;
}

// "saves 1.20 µJ", "costs 30.0 ns".
std::string change(double amount, Dimension dimension) {
  if (amount == 0)
    return "the same";
  return fmt::format("{} {}", amount < 0 ? "saves" : "costs", compact(std::abs(amount), dimension));
}

std::string points(std::optional<double> drop) {
  return drop ? fmt::format("{:+.2f}", -100 * *drop) : "–";
}

std::string cell(const std::string& text) {
  return "<td>" + escape_html(text) + "</td>";
}

std::string number(const std::string& text) {
  return "<td class=\"n\">" + escape_html(text) + "</td>";
}

}  // namespace

std::string why_table(const Page& page) {
  const plan::Mapping& chosen = page.record.chosen;
  if (page.record.alternatives.empty() ||
      chosen.assignment.paths.size() != page.record.workload.layers.size())
    return "";
  std::string out =
      "<div class=\"scroll\"><table><thead><tr><th>layer</th><th>path</th>"
      "<th class=\"n\">points, alone</th><th>next best</th><th>its energy</th>"
      "<th>its latency</th><th class=\"n\">points, alone</th></tr></thead><tbody>";
  for (std::size_t i = 0; i < chosen.assignment.paths.size(); ++i) {
    const std::string& layer = page.record.workload.layers[i].name;
    const std::string path = plan::to_string(chosen.assignment.paths[i]);
    out += "<tr>" + cell(layer) + cell(path) + number(points(drop_of(page, layer, path)));
    if (const plan::Alternative* other = next_best(page, layer)) {
      out += cell(other->path) + cell(change(other->energy_pj, Dimension::kEnergy)) +
             cell(change(other->latency_ns, Dimension::kTime)) +
             number(points(drop_of(page, layer, other->path)));
    } else {
      out += "<td>none fits</td><td></td><td></td><td></td>";
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>";
}

}  // namespace tessera::report::detail
