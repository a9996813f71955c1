// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "tessera/ir/workload.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/mapping.h"
#include "tessera/plan/run_record.h"

namespace tessera::report {

// What a mapping costs, for `tessera cost`: a row for each layer, glue and links summed, totals,
// and the energy's breakdown by component, which adds up to the total. UTF-8, ends in '\n'.
// REQUIRES: the assignment and the cost belong to the workload.
std::string cost_summary(const ir::Workload& workload, const plan::Assignment& assignment,
                         const plan::Cost& cost, std::size_t width = 80);

// What a run found, for `tessera map` and `tessera report`: one row for each mapping that was
// measured, the chosen one in full, and the notes. Works for a run that was interrupted.
std::string run_summary(const plan::RunRecord& record, std::size_t width = 80);

}  // namespace tessera::report
