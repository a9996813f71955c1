// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/comparison.h"

#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "schema_check.h"
#include "support/shared_files.h"

namespace tessera::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kDay = 86400;
const HypervolumeReference kReference{
    .accuracy = 0.8, .energy_pj = 100, .latency_ns = 10, .digital_weight_bytes = 1000};

Totals totals(double energy, double latency, std::int64_t bytes) {
  Totals t;
  t.energy_pj = energy;
  t.latency_ns = latency;
  t.digital_weight_bytes = bytes;
  return t;
}

ComparedMapping mapping(double accuracy, const Totals& costs) {
  return {.label = "m", .totals = costs, .validation = {.mean = accuracy, .split = "validation"}};
}

// By hand: half of the accuracy's range, 40 % less energy, half the latency, a fifth less memory.
TEST(ComparedHypervolume, OfOneMappingIsTheProductOfItsGains) {
  EXPECT_NEAR(compared_hypervolume({mapping(0.9, totals(60, 5, 800))}, kReference),
              0.5 * 0.4 * 0.5 * 0.2, 1e-15);
  EXPECT_EQ(compared_hypervolume({}, kReference), 0);
}

// By hand: 0.5 · 0.4 · 0.5 · 0.2 and 0.25 · 0.6 · 0.5 · 0.2 overlap in 0.25 · 0.4 · 0.5 · 0.2.
TEST(ComparedHypervolume, OverlapCountsOnce) {
  const std::vector<ComparedMapping> both = {mapping(0.9, totals(60, 5, 800)),
                                             mapping(0.85, totals(40, 5, 800))};
  EXPECT_NEAR(compared_hypervolume(both, kReference), (0.2 + 0.15 - 0.1) * 0.1, 1e-15);
}

TEST(ComparedHypervolume, WhatIsNoBetterThanTheReferenceAddsNothing) {
  EXPECT_EQ(compared_hypervolume({mapping(0.8, totals(1, 1, 1))}, kReference), 0);
  EXPECT_EQ(compared_hypervolume({mapping(0.99, totals(100, 1, 1))}, kReference), 0);
  EXPECT_EQ(compared_hypervolume({mapping(0.99, totals(1, 1, 2000))}, kReference), 0);
}

TEST(ComparedHypervolume, PerfectionAtNoCostIsAll) {
  EXPECT_EQ(compared_hypervolume({mapping(1, totals(0, 0, 0))}, kReference), 1);
}

TEST(ComparedHypervolume, AReferenceWithoutVolumeIsOurBug) {
  EXPECT_THROW(compared_hypervolume({}, {.accuracy = 1}), InternalError);
}

Candidate candidate(const std::string& label, const std::string& kind, double accuracy,
                    const Totals& costs) {
  Candidate c;
  c.label = label;
  c.kind = kind;
  c.totals = costs;
  c.accuracy = {{.mean = accuracy, .n = 3, .t_eval_s = kDay, .split = "validation"}};
  return c;
}

RunRecord record() {
  RunRecord r;
  r.status = "done";
  r.chosen.search = {.strategy = "mps", .seed = 3, .evaluations = 40, .training_samples = 900};
  r.candidates = {candidate("int8", "baseline", 0.95, totals(50, 4, 500)),
                  candidate("front 1", "front", 0.9, totals(60, 5, 800)),
                  candidate("front 2", "front", 0.85, totals(60, 6, 800)),
                  candidate("chosen", "chosen", 0.91, totals(70, 5, 800))};
  r.candidates.back().accuracy.push_back({.mean = 0.7, .n = 10, .t_eval_s = 1, .split = "test"});
  r.candidates.back().accuracy.push_back(
      {.mean = 0.89, .n = 10, .t_eval_s = kDay, .split = "test"});
  r.candidates.push_back(candidate("front 3", "front", 0.9, {}));
  r.candidates.back().accuracy.clear();  // not measured
  r.timing = {{"baselines_seconds", 1}, {"search_seconds", 5}, {"seconds", 2}};
  return r;
}

TEST(ComparedRunOf, TakesFrontAndChosenButNoBaseline) {
  const ComparedRun run = compared_run(record(), kDay, kReference);
  std::vector<std::string> labels;
  std::vector<bool> dominated;
  for (const ComparedMapping& m : run.mappings) {
    labels.push_back(m.label);
    dominated.push_back(m.dominated);
  }
  EXPECT_THAT(labels, ElementsAre("front 1", "front 2", "chosen"));
  EXPECT_THAT(dominated, ElementsAre(false, true, false));
  ASSERT_NE(chosen_mapping(run), nullptr);
  EXPECT_EQ(chosen_mapping(run)->test->mean, 0.89) << "at the time that is compared";
  EXPECT_EQ(run.search_samples, 900);
  EXPECT_EQ(run.search_seconds, 5);
  EXPECT_EQ(run.seconds, 6) << "over all stages, not of the last process";
  EXPECT_EQ(run.hypervolume, compared_hypervolume(run.mappings, kReference));
}

// A digital mapping is measured once, under whatever time.
TEST(ComparedRunOf, WhatDoesNotDriftCountsAtAnyTime) {
  RunRecord r = record();
  r.candidates[1].accuracy = {{.mean = 0.9, .n = 1, .t_eval_s = 1, .split = "validation"}};
  EXPECT_EQ(compared_run(r, kDay, kReference).mappings.size(), 3U);
  r.candidates[1].accuracy.front().n = 3;
  EXPECT_EQ(compared_run(r, kDay, kReference).mappings.size(), 2U);
}

TEST(ComparisonJson, HoldsEveryMappingAndKeepsTimesApart) {
  const Comparison comparison{.budget_samples = 1000,
                              .t_eval_s = kDay,
                              .reference = kReference,
                              .runs = {compared_run(record(), kDay, kReference)}};
  const auto json = to_json(comparison);
  EXPECT_EQ(json.at("runs").at(0).at("mappings").size(), 3U);
  EXPECT_EQ(json.at("runs").at(0).at("timing").at("search_seconds"), 5);
  EXPECT_TRUE(json.at("runs").at(0).at("mappings").at(0).at("test").is_null());
  EXPECT_EQ(json.at("reference").at("latency_ns"), 10);
}

TEST(ComparisonJson, HoldsToTheSchema) {
  const auto schema = nlohmann::ordered_json::parse(
      read_text(tessera::testing::source_file("docs/compare.schema.json")));
  auto json = to_json(Comparison{.environment = {{"threads", "2"}},
                                 .reference = kReference,
                                 .runs = {compared_run(record(), kDay, kReference)}});
  EXPECT_THAT(tessera::testing::schema_violations(schema, json), IsEmpty());
  json["runs"][0].erase("hypervolume");
  json["runs"][0]["mappings"][0]["chosen"] = "no";
  EXPECT_EQ(tessera::testing::schema_violations(schema, json).size(), 2U);
}

}  // namespace
}  // namespace tessera::plan
