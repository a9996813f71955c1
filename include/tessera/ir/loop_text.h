// SPDX-License-Identifier: Apache-2.0
#pragma once

// Pieces of Timeloop's notation that problems, constraints and mappings share.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/config.h"

namespace tessera::ir {

// "C=3", "C3" or "C<=3".
struct WrittenFactor {
  std::string dim;
  bool at_most = false;
  std::int64_t value = 1;  // 0: what the other levels leave
};

// "C=3,M4 R<=2", a list of such, or a map {C: 3}. Adds a finding for each name that is not in
// `dims`, each value below 0, and each dimension that stands twice; skips those.
std::vector<WrittenFactor> parse_factors(const config::Node& node,
                                         const std::vector<std::string>& dims,
                                         config::Findings& findings);

// An order of dimensions, inner to outer: "QPC", "Q,P,C" or a list. Without separators every
// letter is a dimension. What stands behind a '*' belongs to the outer end.
struct WrittenOrder {
  std::vector<std::string> inner;
  std::vector<std::string> outer;
};
WrittenOrder parse_order(const config::Node& node, const std::vector<std::string>& dims,
                         config::Findings& findings);

// A whole number of at least `least`; adds a finding and gives none otherwise.
std::optional<std::int64_t> parse_integer(const config::Node& node, std::int64_t least,
                                          config::Findings& findings);
// A number of at least 0.
std::optional<double> parse_number(const config::Node& node, config::Findings& findings);
// A list of names (or one name, or names parted by spaces or commas), each one of `known`.
std::vector<std::string> parse_names(const config::Node& node, std::string_view what,
                                     const std::vector<std::string>& known,
                                     config::Findings& findings);

// Findings for the entries of the map `node` whose keys are not in `known`, and for a node that is
// no map. False when it is no map.
bool check_keys(const config::Node& node, std::string_view what,
                const std::vector<std::string>& known, config::Findings& findings);

}  // namespace tessera::ir
