// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <spdlog/spdlog.h>

namespace tessera {

// The log goes to standard error, since standard output is a command's result. Libraries call
// spdlog::info() and friends; only the command line calls this.
enum class LogLevel { kQuiet, kNormal, kVerbose };
void set_up_log(LogLevel level);

}  // namespace tessera
