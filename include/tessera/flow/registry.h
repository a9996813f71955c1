// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/flow/settings.h"
#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// A search method by name.
struct StrategyEntry {
  std::string name;
  std::string summary;
  std::function<std::unique_ptr<supernet::Strategy>(const MapSettings&)> make;
};

const std::vector<StrategyEntry>& strategies();
// Throws UsageError that lists the known ones.
const StrategyEntry& find_strategy(std::string_view name);

}  // namespace tessera::flow
