// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/run_record.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "example.h"
#include "schema_check.h"
#include "support/shared_files.h"

namespace tessera::plan {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::filesystem::path write(const std::string& text) {
  const auto file = tessera::testing::temp_folder() / "run.json";
  write_atomic(file, text);
  return file;
}

TEST(RunRecord, SurvivesTheRoundTripToTheBit) {
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(21).split(trial);
    const RunRecord record = testing::random_record(rng);
    const std::string text = to_json(record).dump();
    const RunRecord read = read_run_record(write(text));
    // Everything is in the text, so equal texts are equal records; spot checks hold the text to it.
    EXPECT_EQ(to_json(read).dump(), text);
    EXPECT_EQ(read.workload, record.workload);
    EXPECT_EQ(read.chosen.assignment, record.chosen.assignment);
    EXPECT_EQ(read.chosen.cost, record.chosen.cost);
    EXPECT_EQ(read.chosen.numerics, record.chosen.numerics);
    EXPECT_EQ(read.chosen.accuracy, record.chosen.accuracy);
    EXPECT_EQ(read.chosen.search, record.chosen.search);
    EXPECT_EQ(read.chosen.seconds, record.chosen.seconds);
    EXPECT_EQ(read.candidates, record.candidates);
    EXPECT_EQ(read.sensitivity, record.sensitivity);
    EXPECT_EQ(read.alternatives, record.alternatives);
    EXPECT_EQ(read.trace, record.trace);
    EXPECT_EQ(read.constants, record.constants);
    EXPECT_EQ(read.environment, record.environment);
    EXPECT_EQ(read.settings, record.settings);
    EXPECT_EQ(read.timing, record.timing);
    EXPECT_EQ(read.notes, record.notes);
  }
}

TEST(RunRecord, WhatIsWrittenHoldsToTheSchema) {
  const Json schema = Json::parse(read_text(tessera::testing::source_file("docs/run.schema.json")));
  const Json mapping =
      Json::parse(read_text(tessera::testing::source_file("docs/mapping.schema.json")));
  for (std::uint64_t trial = 0; trial < 50; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(22).split(trial);
    const Json json = to_json(testing::random_record(rng));
    EXPECT_THAT(tessera::testing::schema_violations(schema, json), IsEmpty());
    if (!json["chosen"].is_null()) {
      EXPECT_THAT(tessera::testing::schema_violations(mapping, json["chosen"]), IsEmpty());
    }
  }
}

TEST(RunRecord, ADivergedLossIsRecordedAsWhatItIs) {
  Rng rng(23);
  RunRecord record = testing::random_record(rng);
  record.trace = {{"phase", 1, "loss", std::nan("")}};
  const Json json = to_json(record);
  EXPECT_EQ(json["trace"][0]["value"], "nan");
  EXPECT_TRUE(std::isnan(read_run_record(write(json.dump())).trace[0].value));
}

TEST(RunRecord, MistakesAreShownWithTheirPlace) {
  Rng rng(24);
  RunRecord record = testing::random_record(rng);
  record.trace = {{"phase", 1, "loss", 0.5}};
  Json json = to_json(record);
  json["trace"][0]["value"] = "low";
  try {
    read_run_record(write(json.dump(2)));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("run.json:"), HasSubstr("trace[0].value: found \"low\"")));
  }
}

TEST(RunRecord, ContradictionsAreBugs) {
  Rng rng(25);
  RunRecord record = testing::random_record(rng);
  while (record.chosen.assignment.paths.empty())
    record = testing::random_record(rng);
  record.workload.macs += 1;
  EXPECT_THROW(to_json(record), InternalError);
}

}  // namespace
}  // namespace tessera::plan
