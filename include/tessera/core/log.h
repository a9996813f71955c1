// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tessera {

// The log goes to standard error, since standard output is a command's result.
enum class LogLevel { kQuiet, kNormal, kVerbose };

// For the command line alone: which lines appear. Quiet leaves warnings and worse.
void set_up_log(LogLevel level);

void log_debug(std::string_view message);  // shown with kVerbose
void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace tessera
