// SPDX-License-Identifier: Apache-2.0
#pragma once

// The pieces of report.html. Each returns finished HTML (or the data for the charts), "" when the
// record has nothing for it.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/plan/run_record.h"

namespace tessera::report::detail {

// One self-contained page: styles, charts and data inside. `body` is HTML that opens <main>; `data`
// is JSON that is safe inside a <script> element, which `script` draws.
struct PageParts {
  std::string title;
  std::string body;
  std::string version;
  std::string data;
  std::string_view script;
};
std::string html_page(const PageParts& parts);

// JSON text made safe inside a <script> element.
std::string safe_json(std::string text);

// Text as HTML content or as a value of a quoted attribute. Invalid UTF-8 becomes U+FFFD.
std::string escape_html(std::string_view text);

// Colours by unit (hue) and precision (lightness: fewer bits are lighter), the same in strip and
// charts.
class PathColors {
 public:
  explicit PathColors(const std::vector<plan::Candidate>& candidates);

  struct Entry {
    std::string title;       // "pcm analog:pcm-lionheart"
    std::string background;  // a CSS colour
    std::string foreground;  // readable on it
  };
  const Entry& of(const plan::Part& part) const;
  // A CSS background: one colour, or stripes as wide as the parts' shares of channels.
  std::string background(const plan::Path& path) const;
  // Colour of the path that `plan::to_string` writes as `title`; grey when no mapping uses it.
  std::string color_of(std::string_view title) const;
  // By unit, widest format first.
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> index_;
};

struct Page {
  const plan::RunRecord& record;
  std::vector<plan::Candidate> candidates;
  PathColors colors;
};

std::string figures(const Page& page);          // the result in six numbers
std::string network_strips(const Page& page);   // where each layer runs
std::string candidate_table(const Page& page);  // all mappings
std::string final_table(const Page& page);      // what was measured of the chosen mapping alone
std::string layer_table(const Page& page);
std::string why_table(const Page& page);     // each layer's path against its next best option
std::string levels_table(const Page& page);  // energy by level of arrays, before and after
std::string constants_table(const Page& page);
std::string run_tables(const Page& page);  // settings, environment, timing, hashes
// JSON for assets/report.js, safe inside a <script> element.
std::string chart_data(const Page& page);

}  // namespace tessera::report::detail
