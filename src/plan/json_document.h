// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::plan {

using Json = nlohmann::ordered_json;

class JsonNode;

// A JSON file that a person may have edited. Every complaint is a ConfigError with file, line,
// column, the place in the document ("layers[3].parts[0].format"), what was found and what is
// allowed.
class JsonDocument {
 public:
  // IoError when the file cannot be read, ConfigError when it is no JSON.
  explicit JsonDocument(const std::filesystem::path& path);

  JsonNode root() const;
  [[noreturn]] void fail(const Json& at, std::string_view message) const;

 private:
  std::string file_;
  std::string text_;
  Json root_;
};

// One value of a document, which must outlive it.
class JsonNode {
 public:
  JsonNode(const JsonDocument& document, const Json& json) : document_(&document), json_(&json) {}

  // An object's member; at() complains when it is absent, find() is empty then and for null.
  JsonNode at(std::string_view key) const;
  std::optional<JsonNode> find(std::string_view key) const;
  // Complains about members that are not in `keys`, with the nearest name.
  void allow_only(std::initializer_list<std::string_view> keys) const;
  std::vector<std::pair<std::string, JsonNode>> members() const;
  std::vector<JsonNode> items() const;

  const std::string& text() const;
  std::int64_t integer(std::int64_t least = INT64_MIN, std::int64_t most = INT64_MAX) const;
  std::uint64_t unsigned_integer() const;
  double number() const;
  // As number(), or one of the strings that real_to_json() writes.
  double real() const;
  bool boolean() const;

  [[noreturn]] void fail(std::string_view message) const { document_->fail(*json_, message); }
  // "found 12, expected a string"
  [[noreturn]] void fail_expected(std::string_view expected) const;

 private:
  const JsonDocument* document_;
  const Json* json_;
};

// JSON has no infinities and no NaN, and the library would write null for them. A decision's
// numbers are finite (InternalError with `what`); a record of what happened may hold "inf", "-inf",
// "nan".
Json finite_to_json(double value, std::string_view what);
Json real_to_json(double value);

}  // namespace tessera::plan
