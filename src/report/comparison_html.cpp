// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tessera/core/progress.h"
#include "tessera/core/text.h"
#include "tessera/report/comparison.h"

#include "comparison_view.h"
#include "html_assets.h"
#include "html_parts.h"
#include "view.h"

namespace tessera::report {
namespace {

using detail::escape_html;

std::string cells(const std::vector<std::string>& texts, std::string_view tag = "td") {
  std::string out = "<tr>";
  for (std::size_t i = 0; i < texts.size(); ++i)
    out += fmt::format("<{0}{1}>{2}</{0}>", tag, i == 0 ? "" : " class=\"n\"", texts[i]);
  return out + "</tr>";
}

std::string strategy_table(const plan::Comparison& comparison) {
  std::string out = "<div class=\"scroll\"><table><thead>" +
                    cells({"strategy", "volume", "validation", "test", "energy", "latency",
                           "digital weights", "analog MACs", "training images", "search"},
                          "th") +
                    "</thead><tbody>";
  for (const detail::StrategyRow& row : detail::strategy_rows(comparison)) {
    const auto if_chosen = [&](std::string text) { return row.chosen > 0 ? text : "–"; };
    out += cells(
        {escape_html(row.runs == 1 ? row.strategy : fmt::format("{} × {}", row.strategy, row.runs)),
         detail::volume_text(row), detail::accuracy_text(row.validation),
         detail::accuracy_text(row.test),
         if_chosen(detail::compact(row.energy_pj, Dimension::kEnergy)),
         if_chosen(detail::compact(row.latency_ns, Dimension::kTime)),
         if_chosen(detail::compact(row.digital_weight_bytes, Dimension::kData)),
         if_chosen(detail::percent(row.analog_mac_ratio, 1)),
         detail::count(static_cast<std::int64_t>(row.samples)),
         format_duration(row.search_seconds)});
  }
  return out + "</tbody></table></div>";
}

std::string run_table(const plan::Comparison& comparison) {
  std::string out = "<div class=\"scroll\"><table><thead>" +
                    cells({"run", "seed", "status", "volume", "mappings", "evaluations",
                           "images in the search", "all training images", "search", "whole run"},
                          "th") +
                    "</thead><tbody>";
  for (const plan::ComparedRun& run : comparison.runs) {
    out += cells({fmt::format("<a href=\"{}/report.html\">{}</a>", escape_html(run.folder),
                              escape_html(run.strategy)),
                  std::to_string(run.seed), escape_html(run.status),
                  fmt::format("{:.4f}", run.hypervolume), std::to_string(run.mappings.size()),
                  std::to_string(run.evaluations), detail::count(run.search_samples),
                  detail::count(run.training_samples), format_duration(run.search_seconds),
                  format_duration(run.seconds)});
  }
  return out + "</tbody></table></div>";
}

std::string chart_data(const plan::Comparison& comparison) {
  nlohmann::json runs = nlohmann::json::array();
  for (const plan::ComparedRun& run : comparison.runs) {
    nlohmann::json mappings = nlohmann::json::array();
    for (const plan::ComparedMapping& mapping : run.mappings) {
      mappings.push_back({{"label", mapping.label},
                          {"chosen", mapping.chosen},
                          {"mean", mapping.validation.mean},
                          {"std", mapping.validation.std},
                          {"n", mapping.validation.n},
                          {"energy_pj", mapping.totals.energy_pj},
                          {"latency_ns", mapping.totals.latency_ns},
                          {"digital_weight_bytes", mapping.totals.digital_weight_bytes},
                          {"analog_mac_ratio", mapping.totals.analog_mac_ratio}});
    }
    runs.push_back({{"strategy", run.strategy}, {"seed", run.seed}, {"mappings", mappings}});
  }
  nlohmann::json strategies = nlohmann::json::array();
  for (const detail::StrategyRow& row : detail::strategy_rows(comparison)) {
    strategies.push_back(
        {{"name", row.strategy}, {"volume", row.hypervolume}, {"seconds", row.search_seconds}});
  }
  const nlohmann::json data = {
      {"runs", runs}, {"strategies", strategies}, {"floor", comparison.reference.accuracy}};
  return detail::safe_json(data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string section(std::string_view title, std::string_view hint, const std::string& body) {
  return fmt::format("<section><h2>{}</h2><p class=\"hint\">{}</p>{}</section>", title, hint, body);
}

std::string chart(std::string_view name, std::string_view description) {
  return fmt::format(
      "<div class=\"chart\" data-chart=\"{}\"><canvas role=\"img\" aria-label=\"{}\"></canvas>"
      "</div>",
      name, description);
}

}  // namespace

std::string comparison_html(const plan::Comparison& comparison) {
  const std::string network = std::filesystem::path(comparison.network).stem().string();
  std::string body = fmt::format(
      "<header><p class=\"kicker\">Tessera · comparison of strategies</p><h1>{} <span>on</span> "
      "{}</h1><p class=\"facts\">{} · {} training images for each run</p></header><main>",
      escape_html(network), escape_html(comparison.platform), escape_html(comparison.data),
      detail::count(comparison.budget_samples));
  std::string hint;
  for (const std::string& line : split(detail::reference_text(comparison), '\n'))
    hint += escape_html(line) + ". ";
  body += section("What each strategy found", hint, strategy_table(comparison));
  body += section(
      "Accuracy against cost",
      "Each point is a mapping of a front or, as a diamond, the chosen one after its last "
      "training; "
      "bars are ± one standard deviation over programmed chips. Lines join the mappings of a "
      "strategy that no other of its mappings beats. Mappings below the reference accuracy are "
      "left out.",
      "<div class=\"controls\"><label>cost <select id=\"cost\"></select></label><label><input "
      "type=\"checkbox\" id=\"log\" checked> logarithmic</label></div>" +
          chart("fronts", "Accuracy of each mapping against its cost, by strategy"));
  body += section("Volume", "Means over seeds.", chart("volume", "Volume of each strategy"));
  body += section("Search time", "Wall time of the search alone, means over seeds.",
                  chart("seconds", "Search time of each strategy"));
  body += section("Runs", "Each is a run of <code>tessera map</code> with a report of its own.",
                  run_table(comparison));
  const auto pair = [](const std::string& key, const std::string& value) {
    return fmt::format("<tr><th>{}</th><td>{}</td></tr>", escape_html(key), escape_html(value));
  };
  std::string rows = pair("command", comparison.command);
  for (const auto& [key, value] : comparison.environment)
    rows += pair(key, value);
  body +=
      section("This comparison", "", "<table class=\"pairs\"><tbody>" + rows + "</tbody></table>");
  return detail::html_page({.title = network + " on " + comparison.platform + ", strategies",
                            .body = body,
                            .version = comparison.tessera_version,
                            .data = chart_data(comparison),
                            .script = assets::kComparisonJs});
}

}  // namespace tessera::report
