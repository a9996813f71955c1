// SPDX-License-Identifier: Apache-2.0
#pragma once

// What terminal, CSV and HTML share: which measurements to compare, and how numbers read.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/units.h"
#include "tessera/plan/run_record.h"

namespace tessera::report::detail {

// The record's candidates; the chosen mapping stands first, even where the record lists it as
// `chosen` alone (or nowhere, when none is chosen yet).
std::vector<plan::Candidate> candidates(const plan::RunRecord& record);

// The measurement that most candidates share, so that like is compared with like: the split that
// most of them were measured on (of equals "test"), one day after programming or, without that, the
// latest time. Nothing when no accuracy was measured.
struct Comparison {
  std::string split;
  double t_eval_s = 0;
};
std::optional<Comparison> main_comparison(std::span<const plan::Candidate> candidates);

// All (split, time) pairs that were measured with noise, the main comparison's split first, by
// time; splits that were measured without noise alone stand with time 0.
std::vector<Comparison> comparisons(std::span<const plan::Candidate> candidates);

// The candidate's accuracy there. One without drift (a single figure, time 0) has it at all times.
const plan::Accuracy* accuracy_at(const plan::Candidate& candidate, const Comparison& where);

std::string component_title(plan::Component component);    // "analog tiles"
std::string time_title(double seconds);                    // "1 s", "1 h", "1 day", "30 days"
std::string percent(double fraction, int decimals = 2);    // "91.23 %"
std::string mean_and_std(const plan::Accuracy& accuracy);  // "91.23 ± 0.31 %"
std::string metric_title(std::string_view metric);         // "top-1 accuracy"
std::string count(std::int64_t number);                    // "12.5 M"
// format_quantity with µ for u and ² for 2.
std::string quantity(double value, Dimension dimension);
// The same in three significant digits.
std::string compact(double value, Dimension dimension);
// Used of allocated tile cells; "–" when none are allocated.
std::string utilization(const plan::LayerCost& cost);
// Wall time of the whole run: the record's "seconds", or else the sum of its phases.
double total_seconds(const plan::RunRecord& record);
// A cell of a CSV file, quoted as in RFC 4180 where it must be.
std::string csv_field(std::string_view text);
// "/runs/resnet8.onnx" → "resnet8".
std::string network_title(const plan::RunRecord& record);

}  // namespace tessera::report::detail
