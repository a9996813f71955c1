// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tessera::testing {

// Where `value` breaks a JSON Schema (draft 2020-12): one line each, empty when it holds. Knows the
// keywords that our schemas use (type, const, enum, required, properties, additionalProperties,
// items, prefixItems, minItems, maxItems, minimum, maximum, pattern, $ref into #/$defs); throws
// std::logic_error on any other, so that none is passed over in silence.
std::vector<std::string> schema_violations(const nlohmann::ordered_json& schema,
                                           const nlohmann::ordered_json& value);

}  // namespace tessera::testing
