// SPDX-License-Identifier: Apache-2.0
#include "tessera/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "tessera/core/progress.h"

#include "html_assets.h"
#include "html_parts.h"
#include "view.h"

namespace tessera::report {
namespace {

using detail::escape_html;
using detail::Page;

// A canvas that assets/report.js fills; `name` is the chart's.
std::string chart(std::string_view name, std::string_view description) {
  return fmt::format(
      "<div class=\"chart\" data-chart=\"{}\"><canvas role=\"img\" aria-label=\"{}\"></canvas>"
      "</div>",
      name, escape_html(description));
}

struct Section {
  std::string id;
  std::string title;
  std::string hint;  // how to read it
  std::string body;  // empty: the record has nothing for it
};

bool measured(const Page& page) {
  return detail::main_comparison(page.candidates).has_value();
}

// Whether accuracy was measured at several times on one split.
bool drifts(const Page& page) {
  std::map<std::string, int> times;
  for (const detail::Comparison& place : detail::comparisons(page.candidates))
    times[place.split] += place.t_eval_s > 0 ? 1 : 0;
  return std::any_of(times.begin(), times.end(), [](const auto& t) { return t.second >= 2; });
}

std::string front_body(const Page& page) {
  if (page.candidates.empty())
    return "";
  std::string body;
  if (measured(page)) {
    body =
        "<div class=\"controls\" hidden><label>cost <select id=\"front-cost\"></select></label>"
        "<label>accuracy <select id=\"front-place\"></select></label>"
        "<label><input type=\"checkbox\" id=\"front-log\"> logarithmic</label>"
        "<label id=\"front-all-label\"><input type=\"checkbox\" id=\"front-all\"> whole accuracy "
        "range</label></div>" +
        chart("front", "Accuracy of each mapping against its cost");
  }
  return body + "<h3>All mappings</h3>" + detail::candidate_table(page) + detail::final_table(page);
}

std::string energy_body(const Page& page) {
  std::string body;
  if (!page.candidates.empty()) {
    body += "<h3>By mapping</h3>" +
            chart("energy-mappings", "Energy per image of each mapping, by component");
  }
  if (!page.record.chosen.cost.layers.empty()) {
    body += "<h3>By layer of the chosen mapping</h3>" +
            chart("energy-layers", "Energy per image of each layer, by component");
  }
  return body;
}

std::vector<Section> sections(const Page& page) {
  const plan::RunRecord& r = page.record;
  return {
      {"front", "Accuracy against cost",
       "Each point is a mapping; bars are ± one standard deviation over programmed chips. The line "
       "joins mappings of the front that no other one beats. Mappings far below the others stand "
       "as triangles at the lower edge.",
       front_body(page)},
      {"network", "Where each layer runs",
       "One cell for each layer, in order, as wide as its share of MACs. The hue is the unit, "
       "lighter means fewer bits. Point at a cell for its figures.",
       detail::network_strips(page)},
      {"energy", "Where the energy goes",
       "Per image. The parts add up to the total; programming the tiles, which happens once, is "
       "not part of it.",
       energy_body(page)},
      {"levels", "Where the array's energy goes",
       "Per image, by level of the memory hierarchy, inner to outer, before and after. \"other\" "
       "is "
       "what no loop nest accounts for: operations without weights, biases, rescaling.",
       detail::levels_table(page)},
      {"drift", "Accuracy after programming",
       "Analog conductances drift. Mean ± one standard deviation over programmed chips; digital "
       "mappings do not change.",
       drifts(page) ? "<div class=\"controls\" hidden><label>measured on <select "
                      "id=\"drift-split\"></select></label></div>" +
                          chart("drift", "Accuracy against time after programming")
                    : ""},
      {"sensitivity", "What each layer can bear",
       "Accuracy lost when this layer alone runs on this path and all others stay in full "
       "precision.",
       r.sensitivity.empty() ? "" : chart("sensitivity", "Accuracy drop by layer and path")},
      {"layers", "Layers of the chosen mapping", "Size: channels in→out, kernel, output positions.",
       detail::layer_table(page)},
      {"why", "Why each layer got its path",
       "Against the next best option of the same layer, all others unchanged: of those that save "
       "energy the one that loses least accuracy by itself, else the one that costs least energy. "
       "Accuracy is that of the network with this layer alone on the path.",
       detail::why_table(page)},
      {"search", "How the search went", "Each phase in its own colour, one after another.",
       r.trace.empty() ? "" : "<div id=\"traces\"></div>"},
      {"constants", "Where the constants come from",
       "Every constant of the hardware description with its source; highlighted ones have no "
       "public source.",
       detail::constants_table(page)},
      {"run", "This run", "", detail::run_tables(page)},
  };
}

std::string status_banner(const plan::RunRecord& record) {
  if (record.status == "done")
    return "";
  if (record.status == "infeasible") {
    return "<p class=\"banner\"><b>No mapping keeps the limits.</b> The notes say which clash; the "
           "front shows what is possible.</p>";
  }
  const std::string status = record.status.empty() ? "unfinished" : record.status;
  return fmt::format(
      "<p class=\"banner\"><b>This run is {}.</b> What stands here is the best so far.</p>",
      escape_html(status));
}

std::string notes(const plan::RunRecord& record) {
  if (record.notes.empty())
    return "";
  std::string out = "<aside class=\"notes\"><h2>Read this first</h2><ul>";
  for (const std::string& note : record.notes)
    out += "<li>" + escape_html(note) + "</li>";
  return out + "</ul></aside>";
}

std::string header(const Page& page, const std::vector<Section>& all) {
  const plan::RunRecord& r = page.record;
  std::string facts = escape_html(r.data);
  const auto add_fact = [&](const std::string& fact) {
    if (!fact.empty())
      facts += (facts.empty() ? "" : " · ") + escape_html(fact);
  };
  add_fact(r.chosen.search.strategy.empty() ? "" : "strategy " + r.chosen.search.strategy);
  add_fact(r.chosen.search.strategy.empty() ? "" : fmt::format("seed {}", r.chosen.search.seed));
  if (const double seconds = detail::total_seconds(r); seconds > 0)
    add_fact(format_duration(seconds));
  std::string out = fmt::format(
      "<header><p class=\"kicker\">Tessera · mapping report</p><h1>{} <span>on</span> {}</h1>"
      "<p class=\"facts\">{}</p>",
      escape_html(detail::network_title(r)),
      escape_html(r.platform_name.empty() ? "unnamed platform" : r.platform_name), facts);
  if (!r.platform_summary.empty())
    out += "<p class=\"summary\">" + escape_html(r.platform_summary) + "</p>";
  out += "<nav>";
  for (const Section& section : all) {
    if (!section.body.empty())
      out += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.title);
  }
  return out + "</nav></header>";
}

}  // namespace

std::string html_report(const plan::RunRecord& record) {
  std::vector<plan::Candidate> candidates = detail::candidates(record);
  detail::PathColors colors(candidates);
  const Page page{record, std::move(candidates), std::move(colors)};
  const std::vector<Section> all = sections(page);
  std::string body =
      header(page, all) + "<main>" + status_banner(record) + detail::figures(page) + notes(record);
  for (const Section& section : all) {
    if (section.body.empty())
      continue;
    body += fmt::format("<section id=\"{}\"><h2>{}</h2>", section.id, section.title);
    if (!section.hint.empty())
      body += "<p class=\"hint\">" + section.hint + "</p>";
    body += section.body + "</section>";
  }
  return detail::html_page({.title = detail::network_title(record) + " on " + record.platform_name,
                            .body = body,
                            .version = record.tessera_version,
                            .data = detail::chart_data(page),
                            .script = assets::kReportJs});
}

}  // namespace tessera::report
