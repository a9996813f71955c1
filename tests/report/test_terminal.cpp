// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/report/table.h"
#include "tessera/report/terminal.h"

#include "report/sample_record.h"

namespace tessera::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::sample_record;

void expect_lines_within(const std::string& text, std::size_t width) {
  for (const std::string& line : split(text, '\n'))
    EXPECT_LE(display_width(line), width) << line;
}

// A number with its unit as the report writes it, in picojoules.
double picojoules(const std::string& text) {
  const std::vector<std::string> words = split(text, ' ');
  const double number = std::stod(words.at(0));
  const std::string& unit = words.at(1);
  return number * (unit == "µJ" ? 1e6 : unit == "nJ" ? 1e3 : 1);
}

TEST(CostSummary, HasARowForEachLayerAndFitsTheTerminal) {
  const plan::RunRecord r = sample_record();
  const std::string text = cost_summary(r.workload, r.chosen.assignment, r.chosen.cost);
  expect_lines_within(text, 80);
  EXPECT_THAT(text, AllOf(HasSubstr("/conv1 "), HasSubstr("ayer3/0/shortcut "), HasSubstr("/fc ")));
  EXPECT_THAT(text, AllOf(HasSubstr("pcm analog"), HasSubstr("npu int8"), HasSubstr("glue (10)"),
                          HasSubstr("links (4)"), HasSubstr("area 14.20 mm²"),
                          HasSubstr("programming the tiles, once")));
}

TEST(CostSummary, BreakdownAddsUpToTheTotal) {
  const plan::RunRecord r = sample_record();
  const std::string text = cost_summary(r.workload, r.chosen.assignment, r.chosen.cost);
  const std::size_t start = text.find("component");
  ASSERT_NE(start, std::string::npos);
  double sum = 0;
  double total = 0;
  for (const std::string& line : split(text.substr(start), '\n')) {
    const std::size_t joule = line.find("J ");
    if (joule == std::string::npos)
      continue;
    const std::size_t number = line.rfind(' ', line.rfind(' ', joule) - 1) + 1;
    const double pj = picojoules(line.substr(number, joule + 1 - number));
    (line.starts_with("total") ? total : sum) += pj;
  }
  EXPECT_GT(total, 0);
  EXPECT_NEAR(sum, total, total * 1e-3);  // four digits are shown
}

TEST(CostSummary, RefusesACostOfAnotherNetwork) {
  const plan::RunRecord r = sample_record();
  EXPECT_THROW(cost_summary(r.workload, {}, r.chosen.cost), InternalError);
}

TEST(RunSummary, ShowsChosenFirstAndSaysWhatTheAccuracyIs) {
  const std::string text = run_summary(sample_record());
  expect_lines_within(text, 80);
  EXPECT_LT(text.find("▸ chosen"), text.find("  fp32"));
  EXPECT_THAT(text, HasSubstr("validation top1, 1 day after programming, mean ± std of 3 chips"));
  EXPECT_THAT(
      text, HasSubstr("  test        1 h                top1    90.95 ± 0.10 %     10   10000\n"));
  EXPECT_THAT(text, HasSubstr("resnet8_fashion_mnist on ibm_hybrid, fashion-mnist, 6 min 40 s"));
}

TEST(RunSummary, SaysThatARunWasInterrupted) {
  const std::string text = run_summary(testing::interrupted_record());
  EXPECT_THAT(text, AllOf(HasSubstr("(interrupted: the best so far)"), Not(HasSubstr("▸")),
                          HasSubstr("note: Stopped by the user.")));
}

TEST(RunSummary, TakesAnEmptyRecord) {
  plan::RunRecord record;
  record.status = "running";
  EXPECT_EQ(run_summary(record), "network on  (running: the best so far)\n");
}

}  // namespace
}  // namespace tessera::report
