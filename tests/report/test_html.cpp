// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/report/html.h"

#include "report/sample_record.h"

namespace tessera::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSections[] = {"front",  "network", "energy", "drift",     "sensitivity",
                                     "layers", "why",     "search", "constants", "run"};

std::string section(const std::string& id) {
  return "<section id=\"" + id + "\">";
}

// The record's data as the charts get it.
nlohmann::json chart_data(const std::string& html) {
  const std::string open = "id=\"report-data\">";
  const std::size_t begin = html.find(open) + open.size();
  return nlohmann::json::parse(html.substr(begin, html.find("</script>", begin) - begin));
}

// Opening and closing tags of the body match; void elements have none.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  const std::size_t end = html.find("<script type=");
  for (std::size_t at = html.find("<body>"); at < end; at = html.find('<', at + 1)) {
    const std::size_t stop = html.find_first_of(" >", at);
    const std::string tag = html.substr(at + 1, stop - at - 1);
    if (tag == "br" || tag == "input")
      continue;
    if (!tag.starts_with("/")) {
      open.push_back(tag);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag << " at " << at;
    ASSERT_EQ("/" + open.back(), tag) << html.substr(at - std::min<std::size_t>(at, 80), 120);
    open.pop_back();
  }
  EXPECT_EQ(open, std::vector<std::string>{"body"});
}

TEST(HtmlReport, HasEverySectionOfAFinishedRun) {
  const std::string html = html_report(testing::sample_record());
  for (const char* id : kSections)
    EXPECT_THAT(html, HasSubstr(section(id)));
  EXPECT_THAT(html, Not(HasSubstr("class=\"banner\"")));
  expect_balanced(html);
}

TEST(HtmlReport, IsDeterministic) {
  EXPECT_EQ(html_report(testing::sample_record()), html_report(testing::sample_record()));
}

TEST(HtmlReport, AsksNothingOfAnyServer) {
  const std::string html = html_report(testing::sample_record());
  EXPECT_THAT(html, HasSubstr("Content-Security-Policy\" content=\"default-src 'none'"));
  for (const char* request : {"<link", "<img", "<iframe", "src=\"", "@import", "url("})
    EXPECT_EQ(html.find(request), std::string::npos) << request;
  EXPECT_THAT(html, HasSubstr("Chart.js v3"));
}

TEST(HtmlReport, ChartsGetWhatTheRecordSays) {
  const plan::RunRecord record = testing::sample_record();
  const nlohmann::json data = chart_data(html_report(record));
  EXPECT_EQ(data.at("candidates").size(), record.candidates.size());
  EXPECT_EQ(data.at("candidates")[0].at("label"), "chosen");
  EXPECT_EQ(data.at("main"), (nlohmann::json{{"split", "validation"}, {"t", 86400.0}}));
  double energy = 0;
  for (const auto& row : data.at("layers")) {
    for (const double pj : row.at("breakdown"))
      energy += pj;
  }
  EXPECT_NEAR(energy, record.chosen.cost.totals.energy_pj, 1e-9 * energy);
  EXPECT_EQ(data.at("sensitivity").size(), record.sensitivity.size());
}

// Of the two options that save energy the one that loses less stands there, by hand: pcm saves
// more, but int4 loses 0.1 points against 3.
TEST(HtmlReport, SaysWhyALayerGotItsPath) {
  plan::RunRecord record = testing::sample_record();
  const std::string layer = record.workload.layers[0].name;
  const std::string path = plan::to_string(record.chosen.assignment.paths[0]);
  record.sensitivity = {
      {layer, path, 0}, {layer, "pcm analog:x", 0.03}, {layer, "npu int4", 0.001}};
  record.alternatives = {{layer, "pcm analog:x", -2e6, 500},
                         {layer, "npu int4", -1e6, -500},
                         {layer, "npu fp32", 3e6, 0}};
  const std::string html = html_report(record);
  EXPECT_THAT(html, HasSubstr("<td>npu int4</td><td>saves 1.00 µJ</td><td>saves 500 ns</td>"
                              "<td class=\"n\">-0.10</td>"));
  EXPECT_THAT(html, HasSubstr("<td>none fits</td>"));
  record.alternatives.resize(1);
  EXPECT_THAT(html_report(record), HasSubstr("<td>pcm analog:x</td><td>saves 2.00 µJ</td>"
                                             "<td>costs 500 ns</td><td class=\"n\">-3.00</td>"));
}

TEST(HtmlReport, LongTracesAreThinnedButKeepTheirEnds) {
  plan::RunRecord record;
  for (int step = 0; step < 100'000; ++step)
    record.trace.push_back({"search", step, "loss", 1.0 * step});
  const auto points = chart_data(html_report(record)).at("trace")[0].at("points");
  EXPECT_LE(points.size(), 401U);
  EXPECT_EQ(points.front()[0], 0);
  EXPECT_EQ(points.back()[0], 99'999);
}

TEST(HtmlReport, InterruptedRunsSaySoAndLeaveOutWhatIsMissing) {
  const std::string html = html_report(testing::interrupted_record());
  EXPECT_THAT(html, HasSubstr("This run is interrupted."));
  EXPECT_THAT(html, AllOf(HasSubstr(section("front")), HasSubstr(section("search"))));
  EXPECT_THAT(html, AllOf(Not(HasSubstr(section("layers"))), Not(HasSubstr(section("sensitivity"))),
                          Not(HasSubstr("class=\"figures\""))));
  expect_balanced(html);
}

TEST(HtmlReport, ArraysShowEnergyByLevelBeforeAndAfter) {
  plan::RunRecord record = testing::sample_record();
  EXPECT_THAT(html_report(record), Not(HasSubstr(section("levels"))));
  for (plan::Candidate& candidate : record.candidates) {
    const double pj = candidate.totals.energy_pj;
    if (candidate.label == "int8")
      candidate.levels = {{"mac", 0.25 * pj}, {"DRAM", 0.75 * pj}};
    if (candidate.kind == "chosen")
      candidate.levels = {{"mac", 0.5 * pj}, {"spad <x>", 0.5 * pj}};
  }
  const std::string html = html_report(record);
  expect_balanced(html);
  const std::size_t begin = html.find(section("levels"));
  ASSERT_NE(begin, std::string::npos);
  const std::string body = html.substr(begin, html.find("</section>", begin) - begin);
  EXPECT_THAT(body, AllOf(HasSubstr("25.0 %"), HasSubstr("75.0 %"), HasSubstr("50.0 %"),
                          HasSubstr("DRAM"), HasSubstr("spad &lt;x&gt;"), HasSubstr("int8")));
}

TEST(HtmlReport, TakesAnEmptyRecord) {
  const std::string html = html_report({});
  EXPECT_THAT(html, HasSubstr("This run is unfinished."));
  expect_balanced(html);
}

TEST(HtmlReport, TakesAChosenMappingThatIsNoCandidate) {
  plan::RunRecord record = testing::sample_record();
  record.candidates.clear();
  const std::string html = html_report(record);
  EXPECT_THAT(html, AllOf(HasSubstr("class=\"figures\""), HasSubstr(section("layers"))));
  EXPECT_EQ(chart_data(html).at("candidates").size(), 1U);
}

TEST(HtmlReport, EscapesEveryString) {
  const std::string evil = "</script><script>alert('x')</script>\"&";
  plan::RunRecord r = testing::sample_record();
  r.command = r.tessera_version = r.network_file = r.network_sha256 = r.platform_name =
      r.platform_sha256 = r.platform_summary = r.data = r.preprocessing = r.status = evil;
  r.environment = {{evil, evil}};
  r.settings = {{evil, evil}};
  r.timing = {{evil, 1}};
  r.notes = {evil};
  r.chosen.search.strategy = evil;
  for (ir::Layer& layer : r.workload.layers)
    layer.name = layer.op = evil;
  for (plan::Candidate& candidate : r.candidates) {
    candidate.label += evil;
    for (plan::Path& path : candidate.assignment.paths) {
      path.parts[0].unit = evil;
      path.parts[0].format = format::Analog{evil};
    }
    for (plan::Accuracy& accuracy : candidate.accuracy)
      accuracy.split = accuracy.metric = evil;
  }
  r.chosen.assignment = r.candidates[9].assignment;
  for (plan::Accuracy& accuracy : r.chosen.accuracy)
    accuracy.split = accuracy.metric = evil;
  for (plan::Sensitivity& s : r.sensitivity)
    s.layer = s.path = evil;
  for (plan::TracePoint& p : r.trace)
    p.phase = p.quantity = evil;
  for (plan::ConstantRow& c : r.constants)
    c.path = c.value = c.source = evil;
  const std::string html = html_report(r);
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, Not(HasSubstr("alert('x')<")));
  EXPECT_EQ(chart_data(html).at("sensitivity")[0].at("layer"), evil);
  expect_balanced(html);
}

TEST(HtmlReport, ReplacesInvalidUtf8) {
  plan::RunRecord record;
  record.platform_name = "bad \xff byte";
  record.trace = {{"p", 0, "\xff", 1}};
  EXPECT_THAT(html_report(record), HasSubstr("bad \uFFFD byte"));
}

TEST(HtmlReport, SplitLayersShowTheirShares) {
  plan::RunRecord record = testing::sample_record();
  plan::Path& path = record.candidates[9].assignment.paths[1];
  path.parts = {{"npu", format::Integer{8, 8}, {0, 4}},
                {"pcm", format::Analog{"pcm-lionheart"}, {4, 16}}};
  record.chosen.assignment = record.candidates[9].assignment;
  const std::string html = html_report(record);
  EXPECT_THAT(html, HasSubstr("25.0%,"));
  EXPECT_THAT(html, HasSubstr("<span>mixed</span>"));
}

}  // namespace
}  // namespace tessera::report
