// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/comparison.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/plan/pareto.h"

#include "json_values.h"

namespace tessera::plan {
namespace {

Point scaled(const ComparedMapping& mapping, const HypervolumeReference& reference) {
  return {
      (1 - mapping.validation.mean) / (1 - reference.accuracy),
      mapping.totals.energy_pj / reference.energy_pj,
      mapping.totals.latency_ns / reference.latency_ns,
      static_cast<double>(mapping.totals.digital_weight_bytes) / reference.digital_weight_bytes};
}

std::vector<Point> scaled(const std::vector<ComparedMapping>& mappings,
                          const HypervolumeReference& reference) {
  std::vector<Point> points;
  for (const ComparedMapping& mapping : mappings)
    points.push_back(scaled(mapping, reference));
  return points;
}

// One without noise was measured once and holds at any time.
const Accuracy* measured(const Candidate& candidate, std::string_view split, double t_eval_s) {
  for (const Accuracy& accuracy : candidate.accuracy) {
    if (accuracy.split == split && (accuracy.t_eval_s == t_eval_s || accuracy.n == 1))
      return &accuracy;
  }
  return nullptr;
}

Json accuracy_json(const Accuracy& accuracy) {
  return accuracy_to_json({accuracy}).front();
}

Json mapping_json(const ComparedMapping& mapping) {
  Json json = {{"label", mapping.label},
               {"chosen", mapping.chosen},
               {"dominated", mapping.dominated},
               {"totals", totals_to_json(mapping.totals)},
               {"validation", accuracy_json(mapping.validation)}};
  json["test"] = mapping.test ? accuracy_json(*mapping.test) : Json(nullptr);
  return json;
}

}  // namespace

double compared_hypervolume(const std::vector<ComparedMapping>& mappings,
                            const HypervolumeReference& reference) {
  TESSERA_CHECK(reference.accuracy < 1 && reference.energy_pj > 0 && reference.latency_ns > 0 &&
                    reference.digital_weight_bytes > 0,
                "a reference without volume");
  return hypervolume(scaled(mappings, reference), Point{1, 1, 1, 1});
}

ComparedRun compared_run(const RunRecord& record, double t_eval_s,
                         const HypervolumeReference& reference) {
  ComparedRun run{.strategy = record.chosen.search.strategy,
                  .seed = record.chosen.search.seed,
                  .status = record.status};
  for (const Candidate& candidate : record.candidates) {
    const bool chosen = candidate.kind == "chosen";
    const Accuracy* validation = measured(candidate, "validation", t_eval_s);
    if ((!chosen && candidate.kind != "front") || validation == nullptr)
      continue;
    ComparedMapping mapping{.label = candidate.label,
                            .chosen = chosen,
                            .totals = candidate.totals,
                            .validation = *validation};
    if (const Accuracy* test = measured(candidate, "test", t_eval_s))
      mapping.test = *test;
    run.mappings.push_back(std::move(mapping));
  }
  const std::vector<int> ranks = pareto_ranks(scaled(run.mappings, reference));
  for (std::size_t i = 0; i < ranks.size(); ++i)
    run.mappings[i].dominated = ranks[i] > 0;
  run.hypervolume = compared_hypervolume(run.mappings, reference);
  run.evaluations = record.chosen.search.evaluations;
  run.search_samples = record.chosen.search.training_samples;
  for (const auto& [stage, seconds] : record.timing) {
    if (stage == "search_seconds")
      run.search_seconds = seconds;
    if (stage.ends_with("_seconds"))
      run.seconds += seconds;
  }
  return run;
}

const ComparedMapping* chosen_mapping(const ComparedRun& run) {
  const auto found = std::find_if(run.mappings.begin(), run.mappings.end(),
                                  [](const ComparedMapping& m) { return m.chosen; });
  return found == run.mappings.end() ? nullptr : &*found;
}

nlohmann::ordered_json to_json(const Comparison& comparison) {
  Json json = {{"tessera", 1},
               {"command", comparison.command},
               {"version", comparison.tessera_version},
               {"environment", comparison.environment},
               {"network", comparison.network},
               {"platform", comparison.platform},
               {"data", comparison.data},
               {"budget_samples", comparison.budget_samples},
               {"t_eval_s", comparison.t_eval_s},
               {"reference",
                {{"accuracy", comparison.reference.accuracy},
                 {"energy_pj", comparison.reference.energy_pj},
                 {"latency_ns", comparison.reference.latency_ns},
                 {"digital_weight_bytes", comparison.reference.digital_weight_bytes}}},
               {"runs", Json::array()}};
  for (const ComparedRun& run : comparison.runs) {
    Json row = {{"strategy", run.strategy},
                {"seed", run.seed},
                {"status", run.status},
                {"folder", run.folder},
                {"hypervolume", run.hypervolume},
                {"evaluations", run.evaluations},
                {"search_samples", run.search_samples},
                {"training_samples", run.training_samples},
                {"mappings", Json::array()},
                {"timing", {{"search_seconds", run.search_seconds}, {"seconds", run.seconds}}}};
    for (const ComparedMapping& mapping : run.mappings)
      row["mappings"].push_back(mapping_json(mapping));
    json["runs"].push_back(std::move(row));
  }
  return json;
}

}  // namespace tessera::plan
