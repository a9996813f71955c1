// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/core/rng.h"
#include "tessera/plan/run_record.h"

namespace tessera::plan::testing {

// Values without meaning in every field: names that need escaping, doubles with all their bits,
// split layers, numerics.
Mapping random_mapping(Rng& rng);
RunRecord random_record(Rng& rng);

}  // namespace tessera::plan::testing
