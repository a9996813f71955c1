// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "tessera/plan/comparison.h"

namespace tessera::report {

// compare.csv: one line for each mapping of each run, with a head line. Numbers are written so that
// reading them gives the same double; no times, so that equal comparisons are equal files.
std::string comparison_csv(const plan::Comparison& comparison);

// summary.csv: one line for each run: its volume, its chosen mapping, samples and wall time.
std::string comparison_summary_csv(const plan::Comparison& comparison);

// One row for each strategy: means over its seeds, the chosen mapping on the test set. UTF-8, ends
// in '\n'.
std::string comparison_table(const plan::Comparison& comparison, std::size_t width = 140);

// compare.html: one file that opens offline, as html_report()'s. Deterministic.
std::string comparison_html(const plan::Comparison& comparison);

}  // namespace tessera::report
