// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace tessera {

void set_up_log(LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>(
      "tessera", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(level == LogLevel::kQuiet     ? spdlog::level::err
                    : level == LogLevel::kVerbose ? spdlog::level::debug
                                                  : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace tessera
