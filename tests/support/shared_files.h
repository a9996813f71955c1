// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace tessera::testing {

// Reference networks, data and records that are too large or not ours to ship. They are looked for
// in $TESSERA_SHARED, then in ../shared beside the source tree; absent: none, and the test skips
// itself, saying so.
std::optional<std::filesystem::path> shared_file(const std::string& relative);

// A new empty folder under the system's temporary folder, removed at the end of the process.
std::filesystem::path temp_folder();

// A file of the source tree.
std::filesystem::path source_file(const std::string& relative);

}  // namespace tessera::testing

// First line of a test that needs a shared file.
#define TESSERA_SHARED_OR_SKIP(variable, relative)                          \
  const auto variable##_found = ::tessera::testing::shared_file(relative);  \
  if (!variable##_found)                                                    \
    GTEST_SKIP() << "not found: " << (relative) << " (set TESSERA_SHARED)"; \
  const std::filesystem::path variable = *variable##_found
