// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tessera/plan/run_record.h"

namespace tessera::report {

// report.html: one file that opens offline and asks nothing of any server (its content-security
// policy forbids it). Made from the record alone; sections that a partial record has no data for
// are left out. All strings of the record are escaped. Deterministic.
std::string html_report(const plan::RunRecord& record);

}  // namespace tessera::report
