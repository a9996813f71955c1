// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::nn::detail {

// DATA as a person wrote it: kind[:path][?key=value&…].
struct DataSpec {
  std::string text;
  std::string kind;
  std::string path;
  std::optional<std::vector<double>> mean;
  std::optional<std::vector<double>> std;
  std::optional<std::int64_t> validation;
  std::optional<bool> flip;
  std::optional<std::int64_t> crop;
};

// Throws UsageError for an unknown key or a value out of range. Whether the kind exists is for the
// caller to say.
DataSpec parse_data_spec(std::string_view text);

}  // namespace tessera::nn::detail
