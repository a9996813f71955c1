// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/text.h"
#include "tessera/report/comparison.h"

namespace tessera::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

plan::ComparedMapping mapping(bool chosen, double accuracy) {
  plan::ComparedMapping m{.label = chosen ? "chosen" : "front 1", .chosen = chosen};
  m.totals.energy_pj = 1.0 / 3 * 1e6;
  m.totals.latency_ns = 2000;
  m.totals.digital_weight_bytes = 1024;
  m.validation = {.mean = accuracy, .std = 0.01, .n = 3, .split = "validation", .images = 500};
  if (chosen)
    m.test = plan::Accuracy{.mean = accuracy - 0.01, .std = 0.01, .n = 10, .split = "test"};
  return m;
}

plan::Comparison comparison() {
  plan::Comparison c{
      .network = "nets/small.onnx",
      .platform = "chip",
      .data = "npz:</script>",
      .budget_samples = 64000,
      .t_eval_s = 86400,
      .reference = {
          .accuracy = 0.8, .energy_pj = 2e6, .latency_ns = 1e4, .digital_weight_bytes = 4096}};
  for (const std::uint64_t seed : {1U, 2U}) {
    c.runs.push_back({.strategy = "mps:a,b",
                      .seed = seed,
                      .status = "done",
                      .folder = "mps/seed-1",
                      .mappings = {mapping(false, 0.9), mapping(true, seed == 1 ? 0.92 : 0.94)},
                      .hypervolume = seed == 1 ? 0.5 : 0.6,
                      .evaluations = 9,
                      .search_samples = 1000,
                      .training_samples = 1300,
                      .search_seconds = 2,
                      .seconds = 3});
  }
  c.runs.push_back({.strategy = "late", .seed = 1, .status = "infeasible"});
  return c;
}

TEST(ComparisonCsv, HasALineForEachMappingAndNoTimes) {
  const std::string csv = comparison_csv(comparison());
  const std::vector<std::string> lines = split(csv, '\n');
  ASSERT_EQ(lines.size(), 6U);  // head, four mappings, and nothing behind the last newline
  EXPECT_THAT(lines[0], Not(HasSubstr("seconds")));
  EXPECT_THAT(lines[1], HasSubstr("\"mps:a,b\",1,front 1,0,333333.3333333333,2000,1024,"));
  // The quoted name holds a comma of its own.
  EXPECT_EQ(split(lines[1], ',').size(), split(lines[0], ',').size() + 1);
}

TEST(ComparisonSummary, HasALineForEachRun) {
  const std::vector<std::string> lines = split(comparison_summary_csv(comparison()), '\n');
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_THAT(lines[3], HasSubstr("late,1,infeasible,0,0,,,"));
  EXPECT_EQ(split(lines[3], ',').size(), split(lines[0], ',').size());
}

TEST(ComparisonTable, AveragesOverSeeds) {
  const std::string table = comparison_table(comparison());
  // Of 92 and 94 %, and of volumes 0.5 and 0.6: means and sample standard deviations.
  EXPECT_THAT(table, HasSubstr("mps:a,b × 2"));
  EXPECT_THAT(table, HasSubstr("93.00 ± 1.41 %"));
  EXPECT_THAT(table, HasSubstr("0.5500 ± 0.0707"));
  EXPECT_THAT(table, HasSubstr("budget 64 k training images"));
  EXPECT_THAT(table, HasSubstr("late"));
}

TEST(ComparisonHtml, IsOneFileThatAsksNothingOfAnybody) {
  const std::string html = comparison_html(comparison());
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_THAT(html, Not(HasSubstr("src=\"")));
  EXPECT_THAT(html, HasSubstr("npz:&lt;/script&gt;"));
  EXPECT_THAT(html, HasSubstr("data-chart=\"fronts\""));
  EXPECT_EQ(html, comparison_html(comparison()));
}

}  // namespace
}  // namespace tessera::report
