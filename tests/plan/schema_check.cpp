// SPDX-License-Identifier: Apache-2.0
#include "schema_check.h"

#include <algorithm>
#include <regex>
#include <set>
#include <stdexcept>

namespace tessera::testing {

namespace {

using Json = nlohmann::ordered_json;

class Checker {
 public:
  explicit Checker(const Json& schema) : root_(schema) {}

  void check(const Json& schema, const Json& value, const std::string& path) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>())
        add(path, "not allowed");
      return;
    }
    static const std::set<std::string> kKnown = {"$schema",
                                                 "$id",
                                                 "title",
                                                 "description",
                                                 "$defs",
                                                 "$ref",
                                                 "type",
                                                 "const",
                                                 "enum",
                                                 "required",
                                                 "properties",
                                                 "items",
                                                 "minItems",
                                                 "maxItems",
                                                 "prefixItems",
                                                 "pattern",
                                                 "additionalProperties",
                                                 "minimum",
                                                 "maximum"};
    for (const auto& [keyword, ignored] : schema.items()) {
      if (kKnown.count(keyword) == 0)
        throw std::logic_error("schema keyword not known to the test: " + keyword);
    }
    if (schema.contains("$ref"))
      check(referred(schema["$ref"].get<std::string>()), value, path);
    check_scalar(schema, value, path);
    if (value.is_object())
      check_object(schema, value, path);
    if (value.is_array())
      check_array(schema, value, path);
  }

  std::vector<std::string> violations;

 private:
  void add(const std::string& path, const std::string& what) {
    violations.push_back(path + ": " + what);
  }

  const Json& referred(const std::string& reference) const {
    const std::string head = "#/$defs/";
    if (reference.rfind(head, 0) != 0)
      throw std::logic_error("reference not known to the test: " + reference);
    return root_.at("$defs").at(reference.substr(head.size()));
  }

  static bool is_type(const std::string& type, const Json& v) {
    return type == "object"    ? v.is_object()
           : type == "array"   ? v.is_array()
           : type == "string"  ? v.is_string()
           : type == "integer" ? v.is_number_integer()
           : type == "number"  ? v.is_number()
           : type == "boolean" ? v.is_boolean()
           : type == "null"    ? v.is_null()
                               : throw std::logic_error("type not known: " + type);
  }

  void check_scalar(const Json& schema, const Json& value, const std::string& path) {
    if (schema.contains("type")) {
      const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      if (std::none_of(types.begin(), types.end(),
                       [&](const Json& t) { return is_type(t.get<std::string>(), value); }))
        add(path, "type is " + std::string(value.type_name()));
    }
    if (schema.contains("const") && value != schema["const"])
      add(path, "is not " + schema["const"].dump());
    if (schema.contains("enum") &&
        std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
      add(path, "is none of " + schema["enum"].dump());
    if (schema.contains("minimum") && value.is_number() && value < schema["minimum"])
      add(path, "is below " + schema["minimum"].dump());
    if (schema.contains("maximum") && value.is_number() && value > schema["maximum"])
      add(path, "is above " + schema["maximum"].dump());
    if (schema.contains("pattern") && value.is_string() &&
        !std::regex_search(value.get<std::string>(),
                           std::regex(schema["pattern"].get<std::string>())))
      add(path, "does not match " + schema["pattern"].dump());
  }

  void check_object(const Json& schema, const Json& value, const std::string& path) {
    if (schema.contains("required")) {
      for (const Json& key : schema["required"]) {
        if (!value.contains(key.get<std::string>()))
          add(path, "misses " + key.dump());
      }
    }
    for (const auto& [key, member] : value.items()) {
      if (schema.contains("properties") && schema["properties"].contains(key))
        check(schema["properties"][key], member, path + "/" + key);
      else if (schema.contains("additionalProperties"))
        check(schema["additionalProperties"], member, path + "/" + key);
    }
  }

  void check_array(const Json& schema, const Json& value, const std::string& path) {
    if (schema.contains("minItems") && value.size() < schema["minItems"].get<std::size_t>())
      add(path, "has too few items");
    if (schema.contains("maxItems") && value.size() > schema["maxItems"].get<std::size_t>())
      add(path, "has too many items");
    const std::size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      const std::string place = path + "/" + std::to_string(i);
      if (i < prefix)
        check(schema["prefixItems"][i], value[i], place);
      else if (schema.contains("items"))
        check(schema["items"], value[i], place);
    }
  }

  const Json& root_;
};

}  // namespace

std::vector<std::string> schema_violations(const Json& schema, const Json& value) {
  Checker checker(schema);
  checker.check(schema, value, "");
  return checker.violations;
}

}  // namespace tessera::testing
