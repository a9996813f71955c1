// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/plan/run_record.h"

namespace tessera::report::testing {

// A finished run as a search on a ResNet8 would leave it. Its figures are made up (shapes are real,
// sums add up), only to test and look at reports.
plan::RunRecord sample_record();

// The same run, interrupted in its search: baselines and a part of the trace, nothing chosen.
plan::RunRecord interrupted_record();

}  // namespace tessera::report::testing
