// SPDX-License-Identifier: Apache-2.0
#pragma once

// Three channels for what goes wrong, never mixed:
//   a user's mistake   an exception under tessera::Error, caught in main() alone (exit code 2);
//   an expected "no"   a value, Expected<T> (expected.h), never an exception inside a search;
//   our own bug        TESSERA_CHECK, which throws InternalError (exit code 70).

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// A place in a text that a person wrote. Lines and columns count from 1; 0 means unknown.
struct SourceLocation {
  std::string file;
  int line = 0;
  int column = 0;

  bool operator==(const SourceLocation&) const = default;
};

// "file:line:column", leaving out what is unknown.
std::string to_string(const SourceLocation& where);

// Base of every mistake that a user can make and mend. The message says what was found, where, and
// what is allowed, in one line or one line per finding.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A mistake on the command line: an unknown option, a value out of range.
class UsageError : public Error {
 public:
  using Error::Error;
};

// A mistake in a configuration or data-description file.
class ConfigError : public Error {
 public:
  using Error::Error;
  ConfigError(const SourceLocation& where, std::string_view message);
};

// A network file that cannot be read or means nothing to us.
class ImportError : public Error {
 public:
  using Error::Error;
};

// A file or folder that cannot be read or written.
class IoError : public Error {
 public:
  using Error::Error;
};

// Something well-formed that this version does not do; names it and what is supported.
class UnsupportedError : public Error {
 public:
  using Error::Error;
};

// A broken invariant: a bug of ours, whatever the input was.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& message);
}  // namespace detail

}  // namespace tessera

// Always on, in every build: TESSERA_CHECK(a == b, "a is {}, b is {}", a, b).
#define TESSERA_CHECK(condition, ...)                                                              \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      ::tessera::detail::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
    }                                                                                              \
  } while (false)
