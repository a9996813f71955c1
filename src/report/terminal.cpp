// SPDX-License-Identifier: Apache-2.0
#include "tessera/report/terminal.h"

#include <fmt/format.h>

#include <string_view>

#include "tessera/core/error.h"
#include "tessera/core/progress.h"
#include "tessera/core/text.h"
#include "tessera/report/table.h"

#include "view.h"

namespace tessera::report {
namespace {

using detail::count;
using detail::percent;
using detail::quantity;

std::string energy(double pj) {
  return quantity(pj, Dimension::kEnergy);
}

std::string latency(double ns) {
  return detail::compact(ns, Dimension::kTime);
}

std::string bytes(std::int64_t number) {
  return detail::compact(static_cast<double>(number), Dimension::kData);
}

// Unit and format of a path; the noise preset is the unit's and only takes room.
std::string path_title(const plan::Path& path) {
  std::string out;
  for (const plan::Part& part : path.parts) {
    const bool analog = std::holds_alternative<format::Analog>(part.format);
    const std::string title =
        part.unit + " " + (analog ? "analog" : format::to_string(part.format));
    if (out.find(title) == std::string::npos)  // channels in several places are one part
      out += (out.empty() ? "" : " + ") + title;
  }
  return out;
}

std::string or_dash(std::int64_t number) {
  return number == 0 ? "–" : std::to_string(number);
}

// The layer's name without its operator, which exporters put behind it: "/conv1/Conv" is "/conv1".
std::string layer_title(const ir::Layer& layer) {
  const std::string suffix = "/" + layer.op;
  return layer.name.size() > suffix.size() && layer.name.ends_with(suffix)
             ? layer.name.substr(0, layer.name.size() - suffix.size())
             : layer.name;
}

// One row for everything of a kind that has no weights.
template <typename Row>
void add_sum(Table& table, std::string_view title, const std::vector<Row>& rows) {
  if (rows.empty())
    return;
  double pj = 0;
  double ns = 0;
  for (const Row& row : rows) {
    pj += row.energy_pj.total();
    ns += row.latency_ns;
  }
  table.add_row(
      {fmt::format("{} ({})", title, rows.size()), "", "", energy(pj), latency(ns), "", "", ""});
}

Table layer_table(const ir::Workload& workload, const plan::Assignment& assignment,
                  const plan::Cost& cost) {
  Table table({{"layer", Align::kLeft, Cut::kStart},
               {"path"},
               {"MACs", Align::kRight},
               {"energy", Align::kRight},
               {"latency", Align::kRight},
               {"weights", Align::kRight},
               {"tiles", Align::kRight},
               {"used", Align::kRight}});
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    const ir::Layer& layer = workload.layers[i];
    const plan::LayerCost& row = cost.layers[i];
    table.add_row({layer_title(layer), path_title(assignment.paths[i]), count(layer.macs),
                   energy(row.energy_pj.total()), latency(row.latency_ns),
                   row.weight_bytes == 0 ? "–" : bytes(row.weight_bytes), or_dash(row.tiles),
                   detail::utilization(row)});
  }
  add_sum(table, "glue", cost.glue);
  add_sum(table, "links", cost.links);
  const plan::Totals& totals = cost.totals;
  table.add_rule();
  table.add_row({"total", "", count(totals.macs), energy(totals.energy_pj),
                 latency(totals.latency_ns), bytes(totals.digital_weight_bytes),
                 or_dash(totals.tiles),
                 totals.tiles == 0 ? "–" : percent(totals.analog_utilization, 0)});
  return table;
}

// The components that cost something; their sum is the total.
Table breakdown_table(const plan::Breakdown& breakdown) {
  Table table({{"component"}, {"energy", Align::kRight}, {"share", Align::kRight}});
  const double total = breakdown.total();
  const auto share = [&](double pj) { return percent(total == 0 ? 0 : pj / total, 1); };
  for (std::size_t i = 0; i < plan::kComponentCount; ++i) {
    const auto component = static_cast<plan::Component>(i);
    const double pj = breakdown[component];
    if (pj != 0)
      table.add_row({detail::component_title(component), energy(pj), share(pj)});
  }
  table.add_rule();
  table.add_row({"total", energy(total), share(total)});
  return table;
}

std::string totals_lines(const plan::Totals& totals) {
  std::string out = fmt::format("parameters {}, weights in digital memory {}", count(totals.params),
                                bytes(totals.digital_weight_bytes));
  if (totals.area_mm2 > 0)
    out += fmt::format(", area {}", quantity(totals.area_mm2, Dimension::kArea));
  out += "\n";
  if (totals.tiles > 0) {
    out += fmt::format("analog: {} of MACs, {} of weights, {} {}, {} of their cells used\n",
                       percent(totals.analog_mac_ratio, 1),
                       percent(totals.analog_weight_fraction, 1), totals.tiles,
                       totals.tiles == 1 ? "tile" : "tiles", percent(totals.analog_utilization, 1));
  }
  if (totals.programming_pj > 0) {
    out += fmt::format("programming the tiles, once and not in the total: {}\n",
                       energy(totals.programming_pj));
  }
  return out;
}

// What the accuracy column holds: "validation top1, 1 day after programming, mean ± std of 3
// chips".
std::string accuracy_caption(const std::vector<plan::Candidate>& candidates,
                             const detail::Comparison& where) {
  const plan::Accuracy* widest = nullptr;
  for (const plan::Candidate& candidate : candidates) {
    const plan::Accuracy* a = detail::accuracy_at(candidate, where);
    if (a != nullptr && (widest == nullptr || a->n > widest->n))
      widest = a;
  }
  if (widest == nullptr)
    return "";
  std::string out = fmt::format("accuracy: {} {}", where.split, widest->metric);
  if (where.t_eval_s > 0)
    out += fmt::format(", {} after programming", detail::time_title(where.t_eval_s));
  if (widest->n > 1)
    out += fmt::format(", mean ± std of {} chips", widest->n);
  return out + "\n";
}

std::string candidate_rows(const std::vector<plan::Candidate>& candidates, std::size_t width) {
  const auto where = detail::main_comparison(candidates);
  Table table({{"mapping"},
               {"accuracy", Align::kRight},
               {"energy", Align::kRight},
               {"latency", Align::kRight},
               {"weights", Align::kRight},
               {"analog", Align::kRight},
               {"tiles", Align::kRight}});
  for (const plan::Candidate& candidate : candidates) {
    const plan::Accuracy* a = where ? detail::accuracy_at(candidate, *where) : nullptr;
    const plan::Totals& totals = candidate.totals;
    const bool chosen = candidate.kind == "chosen";
    table.add_row({(chosen ? "▸ " : "  ") + candidate.label,
                   a == nullptr ? "–" : detail::mean_and_std(*a),
                   detail::compact(totals.energy_pj, Dimension::kEnergy),
                   latency(totals.latency_ns), bytes(totals.digital_weight_bytes),
                   percent(totals.analog_mac_ratio, 0), or_dash(totals.tiles)});
  }
  return table.render(width) + (where ? accuracy_caption(candidates, *where) : "");
}

Table measurement_table(const plan::Candidate& chosen) {
  Table table({{"▸ " + chosen.label},
               {"after programming"},
               {"metric"},
               {"accuracy", Align::kRight},
               {"chips", Align::kRight},
               {"images", Align::kRight}});
  for (const plan::Accuracy& a : chosen.accuracy) {
    table.add_row({"  " + a.split, a.t_eval_s > 0 ? detail::time_title(a.t_eval_s) : "–", a.metric,
                   detail::mean_and_std(a), std::to_string(a.n), std::to_string(a.images)});
  }
  return table;
}

// Lines of at most `width` columns, broken between words.
std::string wrapped(const std::string& text, std::size_t width) {
  std::string out;
  std::size_t used = 0;
  for (const std::string& word : split(text, ' ')) {
    const std::size_t needed = display_width(word);
    const bool breaks = used > 0 && used + 1 + needed > width;
    out += breaks ? "\n" : used > 0 ? " " : "";
    used = (breaks || used == 0 ? 0 : used + 1) + needed;
    out += word;
  }
  return out + "\n";
}

}  // namespace

std::string cost_summary(const ir::Workload& workload, const plan::Assignment& assignment,
                         const plan::Cost& cost, std::size_t width) {
  TESSERA_CHECK(assignment.paths.size() == workload.layers.size() &&
                    cost.layers.size() == workload.layers.size(),
                "{} paths and {} costs for {} layers", assignment.paths.size(), cost.layers.size(),
                workload.layers.size());
  return layer_table(workload, assignment, cost).render(width) + "\n" +
         breakdown_table(cost.totals.breakdown).render(width) + "\n" + totals_lines(cost.totals);
}

std::string run_summary(const plan::RunRecord& record, std::size_t width) {
  std::string out = fmt::format("{} on {}", detail::network_title(record), record.platform_name);
  if (!record.data.empty())
    out += ", " + record.data;
  if (record.status == "infeasible")
    out += " (no mapping keeps the limits)";
  else if (record.status != "done")
    out += fmt::format(" ({}: the best so far)", record.status);
  if (const double seconds = detail::total_seconds(record); seconds > 0)
    out += ", " + format_duration(seconds);
  out += "\n";

  const std::vector<plan::Candidate> candidates = detail::candidates(record);
  if (!candidates.empty()) {
    out += "\n" + candidate_rows(candidates, width);
    if (candidates.front().kind == "chosen" && !candidates.front().accuracy.empty())
      out += "\n" + measurement_table(candidates.front()).render(width);
  }
  for (const std::string& note : record.notes)
    out += "\n" + wrapped("note: " + note, width);
  return out;
}

}  // namespace tessera::report
