// SPDX-License-Identifier: Apache-2.0
// The example designs in Timeloop's v0.4 form, read as they are shipped, with the statistics that
// Timeloop printed for their best mappings.
#include <cmath>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "tessera/core/file.h"
#include "tessera/core/text.h"
#include "tessera/cost/loop_nest.h"
#include "tessera/hw/read_spatial.h"

#include "support/shared_files.h"

namespace tessera::cost {
namespace {

// "Scalar reads (per-instance)" and so on, by level and tensor; "" is the level itself.
using Statistics = std::map<std::string, std::map<std::string, std::map<std::string, double>>>;

Statistics parse_statistics(const std::string& text, std::map<std::string, double>& summary) {
  Statistics statistics;
  std::string level;
  std::string tensor;
  for (const std::string& raw : split(text, '\n')) {
    const std::string line(trim(raw));
    const std::size_t colon = line.find(':');
    if (line.starts_with("=== ")) {
      level = line.substr(4, line.size() - 8);
      tensor.clear();
    } else if (line.ends_with(':')) {
      tensor = line.substr(0, line.size() - 1);
    } else if (colon != std::string::npos) {
      std::istringstream number(line.substr(colon + 1));
      double value = 0;
      if (!(number >> value))
        continue;
      const std::string key(trim(line.substr(0, colon)));
      statistics[level][tensor].emplace(key, value);
      if (raw[0] != ' ')
        summary[key] = value;
    }
  }
  return statistics;
}

// Statistics are printed to two places behind the point.
void expect_printed(double found, double printed, const std::string& what) {
  EXPECT_NEAR(found, printed, 0.00501) << what;
}

struct Form {
  const char* design;
  const char* architecture;
};

class TimeloopDesigns : public ::testing::TestWithParam<Form> {};

TEST_P(TimeloopDesigns, ShippedMappingGivesShippedStatistics) {
  const std::string folder = std::string("reference/timeloop/v0.4/") + GetParam().design + "/";
  TESSERA_SHARED_OR_SKIP(architecture, folder + GetParam().architecture);
  const auto file = [&](const std::string& name) { return architecture.parent_path() / name; };
  const auto document = [&](const std::string& name) {
    return config::parse_yaml(read_text(file(name)), file(name).string());
  };
  const ir::LoopProblem problem = ir::parse_loop_problem(document("parsed-processed-input.yaml"));
  const LoopNestModel model(problem, hw::load_spatial_unit(architecture.string(), {}));
  const plan::LoopNest nest =
      plan::parse_loop_nest(document("timeloop-mapper.map.yaml"), model.nest_names());
  const auto cost = model.cost(nest, {});
  ASSERT_TRUE(cost) << cost.error().detail;

  std::map<std::string, double> summary;
  Statistics expected = parse_statistics(read_text(file("timeloop-mapper.stats.txt")), summary);
  EXPECT_EQ(cost->cycles, std::llround(summary["Cycles"]));
  expect_printed(cost->energy_pj / 1e6, summary["Energy"], "energy in uJ");
  expect_printed(cost->utilization * 100, summary["Utilization"], "utilization");
  EXPECT_EQ(cost->macs, std::llround(expected["mac"][""]["Computes (total)"]));
  expect_printed(cost->mac_pj, expected["mac"][""]["Energy (total)"], "MACs");
  int compared = 0;
  for (const plan::NestLevelCost& level : cost->levels) {
    for (const plan::NestTraffic& row : level.traffic) {
      auto& printed = expected.at(level.name).at(row.tensor);
      const std::string what = level.name + " " + row.tensor;
      EXPECT_EQ(row.reads, std::llround(printed.at("Scalar reads (per-instance)"))) << what;
      EXPECT_EQ(row.fills, std::llround(printed.at("Scalar fills (per-instance)"))) << what;
      EXPECT_EQ(row.updates, std::llround(printed.at("Scalar updates (per-instance)"))) << what;
      EXPECT_EQ(row.capacity_words, std::llround(printed.at("Utilized capacity"))) << what;
      EXPECT_EQ(row.partition, std::llround(printed.at("Partition size"))) << what;
      EXPECT_EQ(level.clusters, std::llround(printed.at("Utilized clusters (max)"))) << what;
      expect_printed(row.energy_pj, printed.at("Energy (total)"), what);
      ++compared;
    }
    auto& own = expected[level.name][""];
    if (own.contains("Leakage energy (total)"))
      expect_printed(level.leakage_pj, own["Leakage energy (total)"], level.name + " leakage");
  }
  EXPECT_GE(compared, 8);
  // The mapping that we write loads again.
  const std::string yaml = plan::to_yaml(nest);
  EXPECT_EQ(plan::parse_loop_nest(config::parse_yaml(yaml, "written.yaml"), model.nest_names()),
            nest);
}

INSTANTIATE_TEST_SUITE_P(All, TimeloopDesigns,
                         ::testing::Values(Form{"eyeriss_like", "arch.yaml"},
                                           Form{"eyeriss_like", "parsed-processed-input.yaml"},
                                           Form{"simba_like", "arch.yaml"},
                                           Form{"simba_like", "parsed-processed-input.yaml"},
                                           Form{"simple_weight_stationary", "arch.yaml"},
                                           Form{"simple_weight_stationary",
                                                "parsed-processed-input.yaml"}),
                         [](const auto& form) {
                           return std::string(form.param.design) +
                                  (std::string(form.param.architecture) == "arch.yaml" ? "_tree"
                                                                                       : "_flat");
                         });

}  // namespace
}  // namespace tessera::cost
