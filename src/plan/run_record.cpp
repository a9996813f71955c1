// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/run_record.h"

#include <fmt/format.h>

#include "tessera/core/error.h"

#include "json_values.h"

namespace tessera::plan {

namespace {

constexpr int kVersion = 1;

Json texts_to_json(const std::map<std::string, std::string>& texts) {
  Json json = Json::object();
  for (const auto& [key, value] : texts)
    json[key] = value;
  return json;
}

std::map<std::string, std::string> read_texts(const JsonNode& node) {
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : node.members())
    texts[key] = value.text();
  return texts;
}

Json candidates_to_json(const RunRecord& record) {
  Json list = Json::array();
  for (const Candidate& c : record.candidates) {
    const auto& layers = record.workload.layers;
    TESSERA_CHECK(c.assignment.paths.empty() || c.assignment.paths.size() == layers.size(),
                  "candidate {} has {} paths for {} layers", c.label, c.assignment.paths.size(),
                  layers.size());
    Json paths = Json::array();
    for (std::size_t i = 0; i < c.assignment.paths.size(); ++i) {
      paths.push_back({{"name", layers[i].name}, {"parts", parts_to_json(c.assignment.paths[i])}});
    }
    list.push_back({{"label", c.label},
                    {"kind", c.kind},
                    {"layers", paths},
                    {"totals", totals_to_json(c.totals)},
                    {"accuracy", accuracy_to_json(c.accuracy)},
                    {"levels", levels_to_json(c.levels)}});
  }
  return list;
}

std::vector<Candidate> read_candidates(const JsonNode& node, const ir::Workload& workload) {
  std::vector<Candidate> list;
  for (const JsonNode& item : node.items()) {
    Candidate c;
    c.label = item.at("label").text();
    c.kind = item.at("kind").text();
    const JsonNode layers = item.at("layers");
    for (const JsonNode& layer : layers.items())
      c.assignment.paths.push_back(read_parts(layer.at("parts")));
    const std::size_t paths = c.assignment.paths.size();
    if (paths != 0 && paths != workload.layers.size())
      layers.fail_expected(fmt::format("none or the workload's {}", workload.layers.size()));
    c.totals = read_totals(item.at("totals"));
    c.accuracy = read_accuracy(item.at("accuracy"));
    if (const auto levels = item.find("levels"))
      c.levels = read_levels(*levels);
    list.push_back(std::move(c));
  }
  return list;
}

Json sensitivity_to_json(const std::vector<Sensitivity>& sensitivity) {
  Json list = Json::array();
  for (const Sensitivity& s : sensitivity) {
    list.push_back(
        {{"layer", s.layer}, {"path", s.path}, {"accuracy_drop", real_to_json(s.accuracy_drop)}});
  }
  return list;
}

Json alternatives_to_json(const std::vector<Alternative>& alternatives) {
  Json list = Json::array();
  for (const Alternative& a : alternatives) {
    list.push_back({{"layer", a.layer},
                    {"path", a.path},
                    {"energy_pj", a.energy_pj},
                    {"latency_ns", a.latency_ns}});
  }
  return list;
}

Json trace_to_json(const std::vector<TracePoint>& trace) {
  Json list = Json::array();
  for (const TracePoint& t : trace) {
    list.push_back({{"phase", t.phase},
                    {"step", t.step},
                    {"quantity", t.quantity},
                    {"value", real_to_json(t.value)}});
  }
  return list;
}

Json constants_to_json(const std::vector<ConstantRow>& constants) {
  Json list = Json::array();
  for (const ConstantRow& c : constants) {
    list.push_back({{"path", c.path},
                    {"value", c.value},
                    {"plus_minus", finite_to_json(c.plus_minus, c.path)},
                    {"source", c.source}});
  }
  return list;
}

}  // namespace

Json to_json(const RunRecord& r) {
  Json timing = Json::object();
  for (const auto& [phase, seconds] : r.timing)
    timing[phase] = real_to_json(seconds);
  const bool has_chosen = !r.chosen.assignment.paths.empty();
  TESSERA_CHECK(!has_chosen || r.chosen.workload == r.workload,
                "the chosen mapping is of another workload than the run");
  return {
      {"tessera", kVersion},
      {"command", r.command},
      {"tessera_version", r.tessera_version},
      {"status", r.status},
      {"environment", texts_to_json(r.environment)},
      {"network", {{"file", r.network_file}, {"sha256", r.network_sha256}}},
      {"platform",
       {{"name", r.platform_name}, {"sha256", r.platform_sha256}, {"summary", r.platform_summary}}},
      {"data", r.data},
      {"preprocessing", r.preprocessing},
      {"settings", texts_to_json(r.settings)},
      {"workload", workload_to_json(r.workload)},
      {"chosen", has_chosen ? to_json(r.chosen) : Json(nullptr)},
      {"candidates", candidates_to_json(r)},
      {"sensitivity", sensitivity_to_json(r.sensitivity)},
      {"alternatives", alternatives_to_json(r.alternatives)},
      {"trace", trace_to_json(r.trace)},
      {"constants", constants_to_json(r.constants)},
      {"notes", r.notes},
      {"timing", timing}};
}

RunRecord read_run_record(const std::filesystem::path& path) {
  const JsonDocument document(path);
  const JsonNode root = document.root();
  root.at("tessera").integer(kVersion, kVersion);
  RunRecord r;
  r.command = root.at("command").text();
  r.tessera_version = root.at("tessera_version").text();
  r.status = root.at("status").text();
  r.environment = read_texts(root.at("environment"));
  r.network_file = root.at("network").at("file").text();
  r.network_sha256 = root.at("network").at("sha256").text();
  r.platform_name = root.at("platform").at("name").text();
  r.platform_sha256 = root.at("platform").at("sha256").text();
  r.platform_summary = root.at("platform").at("summary").text();
  r.data = root.at("data").text();
  r.preprocessing = root.at("preprocessing").text();
  r.settings = read_texts(root.at("settings"));
  r.workload = read_workload(root.at("workload"));
  if (const auto chosen = root.find("chosen"))
    r.chosen = read_full_mapping(*chosen, r.workload);
  r.candidates = read_candidates(root.at("candidates"), r.workload);
  for (const JsonNode& item : root.at("sensitivity").items()) {
    r.sensitivity.push_back({.layer = item.at("layer").text(),
                             .path = item.at("path").text(),
                             .accuracy_drop = item.at("accuracy_drop").real()});
  }
  if (const auto alternatives = root.find("alternatives")) {  // older files have none
    for (const JsonNode& item : alternatives->items()) {
      r.alternatives.push_back({.layer = item.at("layer").text(),
                                .path = item.at("path").text(),
                                .energy_pj = item.at("energy_pj").number(),
                                .latency_ns = item.at("latency_ns").number()});
    }
  }
  for (const JsonNode& item : root.at("trace").items()) {
    r.trace.push_back({.phase = item.at("phase").text(),
                       .step = item.at("step").integer(),
                       .quantity = item.at("quantity").text(),
                       .value = item.at("value").real()});
  }
  for (const JsonNode& item : root.at("constants").items()) {
    r.constants.push_back({.path = item.at("path").text(),
                           .value = item.at("value").text(),
                           .source = item.at("source").text(),
                           .plus_minus = item.at("plus_minus").number()});
  }
  for (const JsonNode& note : root.at("notes").items())
    r.notes.push_back(note.text());
  for (const auto& [phase, seconds] : root.at("timing").members())
    r.timing[phase] = seconds.real();
  return r;
}

}  // namespace tessera::plan
