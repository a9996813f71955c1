// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/text.h"
#include "tessera/report/csv.h"

#include "report/sample_record.h"

namespace tessera::report {
namespace {

TEST(ParetoCsv, HasALineForEachMeasurement) {
  const plan::RunRecord record = testing::sample_record();
  const std::string csv = pareto_csv(record);
  std::size_t measurements = record.chosen.accuracy.size();  // on the test set, not in candidates
  for (const plan::Candidate& candidate : record.candidates)
    measurements += candidate.accuracy.size();
  EXPECT_EQ(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')), measurements + 1);
  EXPECT_THAT(csv, ::testing::StartsWith("label,kind,energy_pj,"));
  EXPECT_THAT(csv, ::testing::HasSubstr("\n\"analog, trained\",baseline,"));
}

TEST(ParetoCsv, NumbersReadBackExactly) {
  plan::RunRecord record;
  plan::Candidate candidate;
  candidate.label = "say \"x\"";
  candidate.kind = "front";
  candidate.totals.energy_pj = 1.0 / 3;
  candidate.totals.tiles = 7;
  record.candidates = {candidate};
  const std::string csv = pareto_csv(record);
  const std::string line = csv.substr(csv.find('\n') + 1);
  EXPECT_EQ(line, "\"say \"\"x\"\"\",front,0.3333333333333333,0,0,0,0,0,0,7,,,,,,,\n");
  const std::vector<std::string> head = split(csv.substr(0, csv.find('\n')), ',');
  EXPECT_EQ(head.size(), split(line, ',').size());
}

TEST(ParetoCsv, AnEmptyRecordHasAHeadAlone) {
  EXPECT_EQ(split(pareto_csv({}), '\n').size(), 2U);
}

}  // namespace
}  // namespace tessera::report
