// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace tessera {

// An expected "no": something that a search meets all the time and that is no one's mistake.
struct Infeasible {
  std::string reason;  // short and stable, fit for counting: "tiles", "capacity"
  std::string detail;  // the numbers: "layer /conv1 needs 9 tiles, 4 are left"

  bool operator==(const Infeasible&) const = default;
};

template <typename T, typename E = Infeasible>
using Expected = tl::expected<T, E>;

inline tl::unexpected<Infeasible> infeasible(std::string reason, std::string detail) {
  return tl::unexpected<Infeasible>(Infeasible{std::move(reason), std::move(detail)});
}

}  // namespace tessera
