// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "html_parts.h"
#include "view.h"

namespace tessera::report::detail {
namespace {

using nlohmann::json;

// More points than a chart has pixels only make the file large; the first and last stay.
constexpr std::size_t kTracePoints = 400;

json breakdown(const plan::Breakdown& breakdown) {
  return json(breakdown.pj);
}

json candidate_json(const plan::Candidate& candidate) {
  json accuracy = json::array();
  for (const plan::Accuracy& a : candidate.accuracy) {
    accuracy.push_back({{"metric", metric_title(a.metric)},
                        {"split", a.split},
                        {"t", a.t_eval_s},
                        {"mean", a.mean},
                        {"std", a.std},
                        {"n", a.n}});
  }
  const plan::Totals& t = candidate.totals;
  return {{"label", candidate.label},
          {"kind", candidate.kind},
          {"energy_pj", t.energy_pj},
          {"latency_ns", t.latency_ns},
          {"digital_weight_bytes", t.digital_weight_bytes},
          {"analog_mac_ratio", t.analog_mac_ratio},
          {"breakdown", breakdown(t.breakdown)},
          {"accuracy", std::move(accuracy)}};
}

// Energy rows of the chosen mapping: every layer, then glue and links as one row each.
json energy_rows(const Page& page) {
  const ir::Workload& workload = page.record.workload;
  const plan::Cost& cost = page.record.chosen.cost;
  json rows = json::array();
  if (cost.layers.size() != workload.layers.size())
    return rows;
  for (std::size_t i = 0; i < cost.layers.size(); ++i) {
    rows.push_back(
        {{"name", workload.layers[i].name}, {"breakdown", breakdown(cost.layers[i].energy_pj)}});
  }
  const auto add_sum = [&](const char* title, const auto& parts) {
    plan::Breakdown sum;
    for (const auto& part : parts)
      sum += part.energy_pj;
    if (!parts.empty())
      rows.push_back({{"name", title}, {"breakdown", breakdown(sum)}});
  };
  add_sum("glue", cost.glue);
  add_sum("links", cost.links);
  return rows;
}

json sensitivity_json(const Page& page) {
  json rows = json::array();
  for (const plan::Sensitivity& s : page.record.sensitivity) {
    rows.push_back({{"layer", s.layer},
                    {"path", s.path},
                    {"drop", s.accuracy_drop},
                    {"color", page.colors.color_of(s.path)}});
  }
  return rows;
}

// One entry per quantity, in order of first appearance, each with one series per phase.
json trace_json(const std::vector<plan::TracePoint>& trace) {
  struct Series {
    std::string quantity, phase;
    std::vector<std::pair<std::int64_t, double>> points;
  };
  std::vector<Series> all;
  for (const plan::TracePoint& point : trace) {
    auto found = std::find_if(all.begin(), all.end(), [&](const Series& s) {
      return s.quantity == point.quantity && s.phase == point.phase;
    });
    if (found == all.end())
      found = all.insert(all.end(), Series{point.quantity, point.phase, {}});
    found->points.emplace_back(point.step, point.value);
  }
  json rows = json::array();
  for (const Series& series : all) {
    const std::size_t n = series.points.size();
    const std::size_t stride = (n + kTracePoints - 1) / kTracePoints;
    json points = json::array();
    for (std::size_t i = 0; i < n; i += stride)
      points.push_back({series.points[i].first, series.points[i].second});
    if ((n - 1) % stride != 0)
      points.push_back({series.points[n - 1].first, series.points[n - 1].second});
    rows.push_back(
        {{"quantity", series.quantity}, {"phase", series.phase}, {"points", std::move(points)}});
  }
  return rows;
}

}  // namespace

std::string chart_data(const Page& page) {
  json components = json::array();
  for (std::size_t i = 0; i < plan::kComponentCount; ++i)
    components.push_back(component_title(static_cast<plan::Component>(i)));
  json candidates = json::array();
  for (const plan::Candidate& candidate : page.candidates)
    candidates.push_back(candidate_json(candidate));
  json places = json::array();
  for (const Comparison& place : comparisons(page.candidates)) {
    places.push_back(
        {{"split", place.split},
         {"t", place.t_eval_s},
         {"title", place.split + (place.t_eval_s > 0
                                      ? ", " + time_title(place.t_eval_s) + " after programming"
                                      : std::string())}});
  }
  json data = {{"components", std::move(components)},   {"candidates", std::move(candidates)},
               {"places", std::move(places)},           {"layers", energy_rows(page)},
               {"sensitivity", sensitivity_json(page)}, {"trace", trace_json(page.record.trace)}};
  if (const auto main = main_comparison(page.candidates))
    data["main"] = {{"split", main->split}, {"t", main->t_eval_s}};
  // Invalid UTF-8 is replaced.
  return safe_json(data.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace tessera::report::detail
