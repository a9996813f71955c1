// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace tessera {

void set_up_log(LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>(
      "tessera", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(level == LogLevel::kQuiet     ? spdlog::level::warn
                    : level == LogLevel::kVerbose ? spdlog::level::debug
                                                  : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

// spdlog stays in this file: it includes the system's fmt, and a PyTorch installation brings
// another.
void log_debug(std::string_view message) {
  spdlog::debug("{}", message);
}
void log_info(std::string_view message) {
  spdlog::info("{}", message);
}
void log_warning(std::string_view message) {
  spdlog::warn("{}", message);
}

}  // namespace tessera
