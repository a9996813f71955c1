// SPDX-License-Identifier: Apache-2.0
#include "json_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/text.h"

namespace tessera::plan {

namespace {

SourceLocation location(const std::string& file, std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? offset : offset - newline - 1;
  return {file, static_cast<int>(line) + 1, static_cast<int>(column) + 1};
}

// Walks a parsed document and its text side by side: once after parsing, to refuse what the library
// lets pass, and again to report where a mistake stands. REQUIRES: the text has parsed.
class Walker {
 public:
  // `file` for messages; `target` null: to the end.
  Walker(const std::string& file, std::string_view text, const Json* target)
      : file_(file), text_(text), target_(target), at_(text.starts_with(kByteOrderMark) ? 3 : 0) {}

  // True at the target; offset() and path() are then its. `here`: what the text at this place has
  // become, null where a later value of the same key has replaced it.
  bool find(const Json* here) {
    constexpr int kDeepest = 100;
    skip_space();
    if (here != nullptr && here == target_)
      return true;
    if (++depth_ > kDeepest)
      throw ConfigError(location(file_, text_, at_),
                        fmt::format("nested deeper than {} levels", kDeepest));
    const bool found = text_[at_] == '{'   ? find_in_object(here)
                       : text_[at_] == '[' ? find_in_array(here)
                                           : skip_scalar();
    --depth_;
    return found;
  }
  std::size_t offset() const { return at_; }
  const std::string& path() const { return path_; }

 private:
  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

  bool find_in_object(const Json* object) {
    const std::size_t length = path_.size();
    std::set<std::string> seen;
    ++at_;
    for (skip_space(); text_[at_] != '}'; skip_separator()) {
      const std::size_t start = at_;
      skip_scalar();
      const std::string key = Json::parse(text_.substr(start, at_ - start)).get<std::string>();
      path_ += (length == 0 ? "" : ".") + key;
      if (!seen.insert(key).second) {
        throw ConfigError(location(file_, text_, start),
                          fmt::format("{}: the key stands here a second time", path_));
      }
      skip_space();
      ++at_;  // the colon
      const bool holds = object != nullptr && object->is_object() && object->contains(key);
      if (find(holds ? &object->at(key) : nullptr))
        return true;
      path_.resize(length);
    }
    ++at_;
    return false;
  }

  bool find_in_array(const Json* array) {
    const std::size_t length = path_.size();
    ++at_;
    skip_space();
    for (std::size_t i = 0; text_[at_] != ']'; ++i, skip_separator()) {
      path_ += fmt::format("[{}]", i);
      const bool holds = array != nullptr && array->is_array() && i < array->size();
      if (find(holds ? &array->at(i) : nullptr))
        return true;
      path_.resize(length);
    }
    ++at_;
    return false;
  }

  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  void skip_separator() {
    skip_space();
    if (text_[at_] == ',')
      ++at_;
    skip_space();
  }
  bool skip_scalar() {
    if (text_[at_] != '"') {
      at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
      return false;
    }
    for (++at_; text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\')
        ++at_;
    }
    ++at_;
    return false;
  }

  const std::string& file_;
  std::string_view text_;
  const Json* target_;
  std::size_t at_;
  int depth_ = 0;
  std::string path_;
};

// The library's message without its own error number and position.
std::string_view reason(std::string_view what) {
  for (const std::string_view head : {"column ", "byte "}) {
    if (const std::size_t found = what.find(head); found != std::string_view::npos)
      what.remove_prefix(std::min(what.size(), what.find(": ", found) + 2));
  }
  return what;
}

std::string show(const Json& json) {
  constexpr std::size_t kLongest = 60;
  if (json.is_object())
    return "an object";
  if (json.is_array())
    return fmt::format("a list of {}", json.size());
  const std::string text = json.dump();
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "…";
}

}  // namespace

JsonDocument::JsonDocument(const std::filesystem::path& path)
    : file_(path.string()), text_(read_text(path)) {
  try {
    root_ = Json::parse(text_);
  } catch (const Json::parse_error& error) {
    const std::size_t offset = error.byte > 0 ? error.byte - 1 : 0;
    throw ConfigError(location(file_, text_, std::min(offset, text_.size())),
                      fmt::format("not valid JSON: {}", reason(error.what())));
  } catch (const Json::out_of_range& error) {
    throw ConfigError(SourceLocation{file_}, fmt::format("not usable JSON: {}", error.what()));
  }
  Walker(file_, text_, nullptr).find(&root_);
}

JsonNode JsonDocument::root() const {
  return {*this, root_};
}

void JsonDocument::fail(const Json& at, std::string_view message) const {
  Walker walker(file_, text_, &at);
  TESSERA_CHECK(walker.find(&root_), "a value that is not of {}", file_);
  const std::string& path = walker.path();
  throw ConfigError(location(file_, text_, walker.offset()),
                    fmt::format("{}{}{}", path, path.empty() ? "" : ": ", message));
}

JsonNode JsonNode::at(std::string_view key) const {
  if (!json_->is_object())
    fail_expected("an object");
  const auto found = json_->find(std::string(key));
  if (found == json_->end())
    fail(fmt::format("'{}' is missing", key));
  return {*document_, *found};
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  if (!json_->is_object())
    fail_expected("an object");
  const auto found = json_->find(std::string(key));
  if (found == json_->end() || found->is_null())
    return std::nullopt;
  return JsonNode{*document_, *found};
}

void JsonNode::allow_only(std::initializer_list<std::string_view> keys) const {
  const std::vector<std::string> known(keys.begin(), keys.end());
  for (const auto& [key, value] : members()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      value.fail(unknown_name("key", key, known));
  }
}

std::vector<std::pair<std::string, JsonNode>> JsonNode::members() const {
  if (!json_->is_object())
    fail_expected("an object");
  std::vector<std::pair<std::string, JsonNode>> all;
  for (const auto& [key, value] : json_->items())
    all.emplace_back(key, JsonNode{*document_, value});
  return all;
}

std::vector<JsonNode> JsonNode::items() const {
  if (!json_->is_array())
    fail_expected("a list");
  std::vector<JsonNode> all;
  all.reserve(json_->size());
  for (const Json& item : *json_)
    all.emplace_back(*document_, item);
  return all;
}

const std::string& JsonNode::text() const {
  if (!json_->is_string())
    fail_expected("a string");
  return json_->get_ref<const std::string&>();
}

std::int64_t JsonNode::integer(std::int64_t least, std::int64_t most) const {
  const bool fits = json_->is_number_unsigned()
                        ? json_->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                        : json_->is_number_integer();
  if (fits) {
    const auto value = json_->get<std::int64_t>();
    if (value >= least && value <= most)
      return value;
  }
  if (least == most)
    fail_expected(fmt::format("{}", least));
  if (least == INT64_MIN)
    fail_expected("an integer");
  if (most == INT64_MAX)
    fail_expected(fmt::format("an integer of at least {}", least));
  fail_expected(fmt::format("an integer from {} to {}", least, most));
}

std::uint64_t JsonNode::unsigned_integer() const {
  if (!json_->is_number_unsigned())
    fail_expected("an integer of at least 0");
  return json_->get<std::uint64_t>();
}

double JsonNode::number() const {
  if (!json_->is_number())
    fail_expected("a number");
  return json_->get<double>();
}

double JsonNode::real() const {
  if (json_->is_string()) {
    const std::string& word = text();
    if (word == "nan")
      return std::numeric_limits<double>::quiet_NaN();
    if (word == "inf")
      return std::numeric_limits<double>::infinity();
    if (word == "-inf")
      return -std::numeric_limits<double>::infinity();
  }
  if (!json_->is_number())
    fail_expected("a number, \"nan\", \"inf\" or \"-inf\"");
  return json_->get<double>();
}

bool JsonNode::boolean() const {
  if (!json_->is_boolean())
    fail_expected("true or false");
  return json_->get<bool>();
}

void JsonNode::fail_expected(std::string_view expected) const {
  fail(fmt::format("found {}, expected {}", show(*json_), expected));
}

Json finite_to_json(double value, std::string_view what) {
  TESSERA_CHECK(std::isfinite(value), "{} is {}", what, value);
  return value;
}

Json real_to_json(double value) {
  if (std::isnan(value))
    return "nan";
  if (std::isinf(value))
    return value > 0 ? "inf" : "-inf";
  return value;
}

}  // namespace tessera::plan
