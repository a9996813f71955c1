// SPDX-License-Identifier: Apache-2.0
#include "tessera/cost/loop_nest_records.h"

#include <map>

#include <gtest/gtest.h>

#include "tessera/hw/read_spatial.h"

#include "support/shared_files.h"

namespace tessera::cost {
namespace {

const hw::SpatialUnit* preset(const std::string& name) {
  static std::map<std::string, hw::SpatialUnit> units;
  const std::string file = "configs/hardware/spatial/" + name + ".yaml";
  const auto path = testing::source_file(file);
  if (!std::filesystem::exists(path))
    return nullptr;
  const auto found = units.find(name);
  if (found != units.end())
    return &found->second;
  return &units.emplace(name, hw::load_spatial_unit(path.string(), {})).first->second;
}

class LoopNestRecords : public ::testing::TestWithParam<const char*> {};

// Published: what Timeloop (or the paper's authors with it) computed for these very nests.
TEST_P(LoopNestRecords, Agree) {
  TESSERA_SHARED_OR_SKIP(path, std::string("reference/timeloop/") + GetParam() + ".jsonl.gz");
  const auto records = read_nest_records(path, preset);
  ASSERT_FALSE(records.empty());
  int mismatches = 0;
  for (const NestRecord& record : records) {
    const std::string difference = compare_with_record(record);
    if (!difference.empty() && ++mismatches <= 10)
      ADD_FAILURE() << record.id << ": " << difference;
  }
  EXPECT_EQ(mismatches, 0) << "of " << records.size() << " records";
}

INSTANTIATE_TEST_SUITE_P(All, LoopNestRecords,
                         ::testing::Values("random_mappings", "authors_mobilenetv1",
                                           "mapper_results", "exhaustive_optima",
                                           "tutorial_mappings"));

}  // namespace
}  // namespace tessera::cost
