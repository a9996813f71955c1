// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/core/config.h"
#include "tessera/hw/platform.h"

namespace tessera::hw {

// The table of a platform file: the one place where its keys are declared.
const config::Schema<Platform>& platform_schema();

}  // namespace tessera::hw
