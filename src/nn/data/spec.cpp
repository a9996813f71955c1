// SPDX-License-Identifier: Apache-2.0
#include "spec.h"

#include <charconv>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera::nn::detail {

namespace {

// One value of an option; throws with the whole text when it is not a number of this kind.
template <typename T>
T number(std::string_view digits, std::string_view key, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size())
    throw UsageError(fmt::format("data '{}': {}: '{}' is not {}", text, key, digits,
                                 std::is_integral_v<T> ? "a whole number" : "a number"));
  return value;
}

std::int64_t count(std::string_view digits, std::string_view key, std::string_view text) {
  const auto value = number<std::int64_t>(digits, key, text);
  if (value < 0)
    throw UsageError(fmt::format("data '{}': {} = {}; must be 0 or more", text, key, value));
  return value;
}

std::vector<double> list(std::string_view values, std::string_view key, std::string_view text) {
  std::vector<double> result;
  for (const std::string& value : split(values, ','))
    result.push_back(number<double>(trim(value), key, text));
  const bool positive_only = key == "std";
  for (const double value : result) {
    if (!std::isfinite(value) || (positive_only && value <= 0))
      throw UsageError(fmt::format("data '{}': {}: {} is not {}", text, key, value,
                                   positive_only ? "above 0" : "finite"));
  }
  return result;
}

bool flag(std::string_view value, std::string_view key, std::string_view text) {
  if (value != "0" && value != "1")
    throw UsageError(fmt::format("data '{}': {} is 0 or 1, found '{}'", text, key, value));
  return value == "1";
}

void read_option(DataSpec& spec, std::string_view key, std::string_view value) {
  if (key == "mean") {
    spec.mean = list(value, key, spec.text);
  } else if (key == "std") {
    spec.std = list(value, key, spec.text);
  } else if (key == "validation") {
    spec.validation = count(value, key, spec.text);
  } else if (key == "flip") {
    spec.flip = flag(value, key, spec.text);
  } else if (key == "crop") {
    spec.crop = count(value, key, spec.text);
  } else {
    const std::vector<std::string> known{"mean", "std", "validation", "flip", "crop"};
    throw UsageError(fmt::format("data '{}': {}", spec.text, unknown_name("option", key, known)));
  }
}

}  // namespace

DataSpec parse_data_spec(std::string_view text) {
  DataSpec spec;
  spec.text = text;
  const std::size_t question = text.rfind('?');
  const std::string_view place = text.substr(0, question);
  const std::size_t colon = place.find(':');
  spec.kind = place.substr(0, colon);
  if (colon != std::string_view::npos)
    spec.path = place.substr(colon + 1);
  if (question == std::string_view::npos)
    return spec;
  for (const std::string& option : split(text.substr(question + 1), '&')) {
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos)
      throw UsageError(fmt::format("data '{}': '{}' lacks '=VALUE'", text, option));
    read_option(spec, std::string_view(option).substr(0, equals),
                std::string_view(option).substr(equals + 1));
  }
  return spec;
}

}  // namespace tessera::nn::detail
