// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/error.h"

namespace tessera {

std::string to_string(const SourceLocation& where) {
  std::string text = where.file;
  if (where.line > 0)
    text += fmt::format(":{}", where.line);
  if (where.line > 0 && where.column > 0)
    text += fmt::format(":{}", where.column);
  return text;
}

ConfigError::ConfigError(const SourceLocation& where, std::string_view message)
    : Error(fmt::format("{}: {}", to_string(where), message)) {}

void detail::check_failed(const char* condition, const char* file, int line,
                          const std::string& message) {
  throw InternalError(fmt::format("{}:{}: {} ({})", file, line, message, condition));
}

}  // namespace tessera
