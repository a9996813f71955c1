// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "tessera/core/progress.h"

#include "html_parts.h"
#include "view.h"

namespace tessera::report::detail {
namespace {

std::string energy(double pj) {
  return quantity(pj, Dimension::kEnergy);
}

std::string latency(double ns) {
  return compact(ns, Dimension::kTime);
}

std::string bytes(std::int64_t number) {
  return compact(static_cast<double>(number), Dimension::kData);
}

// A cell with text (escaped) or a number (right-aligned by its class).
std::string text_cell(std::string_view text) {
  return "<td>" + escape_html(text) + "</td>";
}

std::string number_cell(std::string_view text) {
  return "<td class=\"n\">" + escape_html(text) + "</td>";
}

std::string open_table(std::span<const std::string_view> titles) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string_view title : titles) {
    // Titles of number columns are marked by a leading '#'.
    const bool number = title.starts_with('#');
    out += fmt::format("<th{}>{}</th>", number ? " class=\"n\"" : "",
                       escape_html(number ? title.substr(1) : title));
  }
  return out + "</tr></thead><tbody>";
}

constexpr std::string_view kCloseTable = "</tbody></table></div>";

std::string figure(std::string_view title, std::string_view value, std::string_view remark) {
  return fmt::format("<div class=\"figure\"><span>{}</span><strong>{}</strong><em>{}</em></div>",
                     escape_html(title), escape_html(value), escape_html(remark));
}

const plan::Candidate* find_label(const Page& page, std::string_view label) {
  const auto found = std::find_if(page.candidates.begin(), page.candidates.end(),
                                  [&](const plan::Candidate& c) { return c.label == label; });
  return found == page.candidates.end() ? nullptr : &*found;
}

// "3.1 × less than int8": against the baseline that people know, if the run has it.
std::string against(const Page& page, double own, double (*value)(const plan::Totals&)) {
  for (const std::string_view label : {"int8", "fp16", "fp32"}) {
    const plan::Candidate* other = find_label(page, label);
    if (other == nullptr || value(other->totals) <= 0 || own <= 0)
      continue;
    const double ratio = value(other->totals) / own;
    return ratio >= 1 ? fmt::format("{:.2f} × less than {}", ratio, label)
                      : fmt::format("{:.2f} × {}", 1 / ratio, label);
  }
  return "per image";
}

std::string accuracy_figure(const Page& page, const plan::Candidate& chosen) {
  // The final measurement, on the test set, where there is one.
  auto where = main_comparison(page.candidates);
  if (!where)
    return figure("accuracy", "–", "not measured yet");
  const Comparison final_place{"test", where->t_eval_s};
  if (accuracy_at(chosen, final_place) != nullptr)
    where = final_place;
  const plan::Accuracy* own = accuracy_at(chosen, *where);
  if (own == nullptr)
    return figure("accuracy", "–", "not measured yet");
  std::string remark = where->split;
  if (own->t_eval_s > 0)
    remark += ", " + time_title(own->t_eval_s) + " after programming";
  if (own->n > 1)
    remark += fmt::format(", {} chips", own->n);
  const plan::Candidate* fp32 = find_label(page, "fp32");
  const plan::Accuracy* reference = fp32 == nullptr ? nullptr : accuracy_at(*fp32, *where);
  if (reference != nullptr)
    remark += fmt::format("; {:+.2f} points to fp32", (own->mean - reference->mean) * 100);
  return figure(metric_title(own->metric), mean_and_std(*own), remark);
}

std::string key_value_table(std::string_view title,
                            const std::vector<std::pair<std::string, std::string>>& rows) {
  if (rows.empty())
    return "";
  std::string out = fmt::format("<div><h3>{}</h3><table class=\"pairs\"><tbody>", title);
  for (const auto& [key, value] : rows)
    out += fmt::format("<tr><th>{}</th>{}</tr>", escape_html(key), text_cell(value));
  return out + "</tbody></table></div>";
}

// The columns of the table that compares mappings: the main split, and where at least half of the
// mappings were measured.
std::vector<Comparison> shared_places(const Page& page) {
  const auto main = main_comparison(page.candidates);
  std::vector<Comparison> places = comparisons(page.candidates);
  std::erase_if(places, [&](const Comparison& place) {
    const auto measured =
        std::count_if(page.candidates.begin(), page.candidates.end(),
                      [&](const auto& c) { return accuracy_at(c, place) != nullptr; });
    return place.split != main->split &&
           2 * static_cast<std::size_t>(measured) < page.candidates.size();
  });
  return places;
}

bool is_assumed(const plan::ConstantRow& row) {
  return row.source.starts_with("assumed");
}

}  // namespace

std::string figures(const Page& page) {
  if (page.candidates.empty() || page.candidates.front().kind != "chosen")
    return "";
  const plan::Candidate& chosen = page.candidates.front();
  const plan::Totals& t = chosen.totals;
  const std::string tiles =
      t.tiles == 0 ? "no analog tiles"
                   : fmt::format("{} {}, {} of their cells used", t.tiles,
                                 t.tiles == 1 ? "tile" : "tiles", percent(t.analog_utilization, 0));
  const auto energy_of = [](const plan::Totals& x) { return x.energy_pj; };
  const auto latency_of = [](const plan::Totals& x) { return x.latency_ns; };
  const auto memory_of = [](const plan::Totals& x) {
    return static_cast<double>(x.digital_weight_bytes);
  };
  return "<div class=\"figures\">" + accuracy_figure(page, chosen) +
         figure("energy per image", energy(t.energy_pj), against(page, t.energy_pj, energy_of)) +
         figure("latency per image", latency(t.latency_ns),
                against(page, t.latency_ns, latency_of)) +
         figure("MACs on analog units", percent(t.analog_mac_ratio, 1), tiles) +
         figure("weights in digital memory", bytes(t.digital_weight_bytes),
                against(page, memory_of(t), memory_of)) +
         "</div>";
}

std::string final_table(const Page& page) {
  if (page.candidates.empty() || page.candidates.front().kind != "chosen")
    return "";
  const std::vector<Comparison> shared = shared_places(page);
  std::string rows;
  for (const plan::Accuracy& a : page.candidates.front().accuracy) {
    const bool in_table = std::any_of(shared.begin(), shared.end(), [&](const Comparison& place) {
      return place.split == a.split && (place.t_eval_s == a.t_eval_s || a.t_eval_s == 0);
    });
    if (in_table)
      continue;
    rows += "<tr>" + text_cell(a.split) +
            text_cell(a.t_eval_s > 0 ? time_title(a.t_eval_s) : "no drift") +
            number_cell(mean_and_std(a)) + number_cell(std::to_string(a.n)) +
            number_cell(std::to_string(a.images)) + "</tr>";
  }
  if (rows.empty())
    return "";
  constexpr std::string_view titles[] = {"measured on", "after programming", "#accuracy", "#chips",
                                         "#images"};
  return "<h3>The chosen mapping alone</h3>" + open_table(titles) + rows + std::string(kCloseTable);
}

std::string candidate_table(const Page& page) {
  if (page.candidates.empty())
    return "";
  const std::vector<Comparison> places = shared_places(page);
  std::string out = "<div class=\"scroll\"><table><thead><tr><th>mapping</th>";
  for (const Comparison& place : places) {
    const std::string when = place.t_eval_s > 0 ? "<br>" + time_title(place.t_eval_s) : "";
    out += fmt::format("<th class=\"n\">{}{}</th>", escape_html(place.split), when);
  }
  out +=
      "<th class=\"n\">energy</th><th class=\"n\">latency</th><th class=\"n\">digital<br>weights"
      "</th><th class=\"n\">analog<br>MACs</th><th class=\"n\">tiles</th><th class=\"n\">cells<br>"
      "used</th></tr></thead><tbody>";
  for (const plan::Candidate& candidate : page.candidates) {
    const plan::Totals& t = candidate.totals;
    out += candidate.kind == "chosen" ? "<tr class=\"chosen\">" : "<tr>";
    out += text_cell(candidate.label);
    for (const Comparison& place : places) {
      const plan::Accuracy* a = accuracy_at(candidate, place);
      out += number_cell(a == nullptr ? "–" : mean_and_std(*a));
    }
    out += number_cell(energy(t.energy_pj)) + number_cell(latency(t.latency_ns)) +
           number_cell(bytes(t.digital_weight_bytes)) +
           number_cell(percent(t.analog_mac_ratio, 1)) +
           number_cell(t.tiles == 0 ? "–" : std::to_string(t.tiles)) +
           number_cell(t.tiles == 0 ? "–" : percent(t.analog_utilization, 1)) + "</tr>";
  }
  return out + std::string(kCloseTable);
}

std::string layer_table(const Page& page) {
  const ir::Workload& workload = page.record.workload;
  const plan::Mapping& chosen = page.record.chosen;
  if (workload.layers.empty() || chosen.cost.layers.size() != workload.layers.size() ||
      chosen.assignment.paths.size() != workload.layers.size())
    return "";
  constexpr std::string_view titles[] = {"layer",    "operator", "size",       "#MACs",
                                         "path",     "#energy",  "#share",     "#latency",
                                         "#weights", "#tiles",   "#cells used"};
  std::string out = open_table(titles);
  const plan::Totals& totals = chosen.cost.totals;
  const auto share = [&](double pj) {
    return percent(totals.energy_pj > 0 ? pj / totals.energy_pj : 0, 1);
  };
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    const ir::Layer& layer = workload.layers[i];
    const plan::LayerCost& cost = chosen.cost.layers[i];
    const ir::LayerDims& d = layer.dims;
    const std::string groups = d.G > 1 ? fmt::format(", {} groups", d.G) : std::string();
    const double pj = cost.energy_pj.total();
    out += "<tr>" + text_cell(layer.name) + text_cell(layer.op) +
           text_cell(fmt::format("{}→{}, {}×{}, {}×{}{}", d.C, d.M, d.R, d.S, d.P, d.Q, groups)) +
           number_cell(count(layer.macs)) +
           fmt::format("<td><i class=\"dot\" style=\"background:{}\"></i>{}</td>",
                       page.colors.background(chosen.assignment.paths[i]),
                       escape_html(plan::to_string(chosen.assignment.paths[i]))) +
           number_cell(energy(pj)) + number_cell(share(pj)) +
           number_cell(latency(cost.latency_ns)) +
           number_cell(cost.weight_bytes == 0 ? "–" : bytes(cost.weight_bytes)) +
           number_cell(cost.tiles == 0 ? "–" : std::to_string(cost.tiles)) +
           number_cell(utilization(cost)) + "</tr>";
  }
  const auto add_others = [&](std::string_view title, const auto& rows) {
    double pj = 0;
    double ns = 0;
    for (const auto& row : rows) {
      pj += row.energy_pj.total();
      ns += row.latency_ns;
    }
    if (!rows.empty()) {
      out += fmt::format(
          "<tr><td>{} ({})</td><td></td><td></td><td></td><td></td>{}{}{}"
          "<td></td><td></td><td></td></tr>",
          title, rows.size(), number_cell(energy(pj)), number_cell(share(pj)),
          number_cell(latency(ns)));
    }
  };
  add_others("glue", chosen.cost.glue);
  add_others("links", chosen.cost.links);
  out += "<tr class=\"total\"><td>total</td><td></td><td></td>" + number_cell(count(totals.macs)) +
         "<td></td>" + number_cell(energy(totals.energy_pj)) +
         number_cell(share(totals.energy_pj)) + number_cell(latency(totals.latency_ns)) +
         number_cell(bytes(totals.digital_weight_bytes)) +
         number_cell(totals.tiles == 0 ? "–" : std::to_string(totals.tiles)) +
         number_cell(totals.tiles == 0 ? "–" : percent(totals.analog_utilization, 0)) + "</tr>";
  return out + std::string(kCloseTable);
}

std::string levels_table(const Page& page) {
  // The widest baseline that people know, then the chosen mapping.
  std::vector<const plan::Candidate*> shown;
  for (const std::string_view label : {"int16", "int8"}) {
    const plan::Candidate* baseline = find_label(page, label);
    if (baseline != nullptr && !baseline->levels.empty())
      shown.push_back(baseline);
  }
  const bool has_chosen = !page.candidates.empty() && page.candidates.front().kind == "chosen";
  if (has_chosen && !page.candidates.front().levels.empty())
    shown.push_back(&page.candidates.front());
  if (shown.empty())
    return "";
  std::vector<std::string> names;
  for (const plan::Candidate* candidate : shown) {
    for (const plan::LevelEnergy& level : candidate->levels) {
      if (std::find(names.begin(), names.end(), level.name) == names.end())
        names.push_back(level.name);
    }
  }
  std::string out = "<div class=\"scroll\"><table><thead><tr><th>place</th>";
  for (const plan::Candidate* candidate : shown) {
    out += fmt::format("<th class=\"n\">{}</th><th class=\"n\">share</th>",
                       escape_html(candidate->label));
  }
  out += "</tr></thead><tbody>";
  for (const std::string& name : names) {
    out += "<tr>" + text_cell(name);
    for (const plan::Candidate* candidate : shown) {
      double pj = 0;
      for (const plan::LevelEnergy& level : candidate->levels)
        pj += level.name == name ? level.energy_pj : 0;
      const double total = candidate->totals.energy_pj;
      out += number_cell(energy(pj)) + number_cell(percent(total > 0 ? pj / total : 0, 1));
    }
    out += "</tr>";
  }
  out += "<tr class=\"total\"><td>total</td>";
  for (const plan::Candidate* candidate : shown)
    out += number_cell(energy(candidate->totals.energy_pj)) + number_cell("");
  return out + "</tr>" + std::string(kCloseTable);
}

std::string constants_table(const Page& page) {
  const auto& constants = page.record.constants;
  if (constants.empty())
    return "";
  const auto assumed = std::count_if(constants.begin(), constants.end(), is_assumed);
  constexpr std::string_view titles[] = {"constant", "#value", "#±", "source"};
  std::string out = fmt::format("<p class=\"hint\">{} constants, {} of them assumed.</p>",
                                constants.size(), assumed) +
                    open_table(titles);
  for (const plan::ConstantRow& row : constants) {
    out += is_assumed(row) ? "<tr class=\"assumed\">" : "<tr>";
    out += text_cell(row.path) + number_cell(row.value) +
           number_cell(row.plus_minus > 0 ? percent(row.plus_minus, 0) : "") +
           text_cell(row.source) + "</tr>";
  }
  return out + std::string(kCloseTable);
}

std::string run_tables(const Page& page) {
  const plan::RunRecord& r = page.record;
  std::vector<std::pair<std::string, std::string>> inputs;
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty())
      inputs.emplace_back(key, value);
  };
  add("command", r.command);
  add("network", r.network_file);
  add("network SHA-256", r.network_sha256);
  add("platform", r.platform_name);
  add("platform SHA-256", r.platform_sha256);
  add("data", r.data);
  add("preprocessing", r.preprocessing);
  add("version", r.tessera_version);
  const plan::SearchRecord& search = r.chosen.search;
  if (search.evaluations > 0)
    add("evaluations", std::to_string(search.evaluations));
  if (search.training_samples > 0)
    add("training samples", count(search.training_samples));
  std::vector<std::pair<std::string, std::string>> timing;
  for (const auto& [phase, seconds] : r.timing)
    timing.emplace_back(phase, format_duration(seconds));
  return "<div class=\"pairs-grid\">" + key_value_table("Inputs", inputs) +
         key_value_table("Settings", {r.settings.begin(), r.settings.end()}) +
         key_value_table("Environment", {r.environment.begin(), r.environment.end()}) +
         key_value_table("Time", timing) + "</div>";
}

}  // namespace tessera::report::detail
