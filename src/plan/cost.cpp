// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/cost.h"

#include <algorithm>

#include "tessera/core/error.h"

namespace tessera::plan {

std::string_view name(Component component) {
  switch (component) {
    case Component::kAnalogMvm:
      return "analog_mvm";
    case Component::kMac:
      return "mac";
    case Component::kWeights:
      return "weights";
    case Component::kActivations:
      return "activations";
    case Component::kAccumulate:
      return "accumulate";
    case Component::kConversion:
      return "conversion";
    case Component::kLink:
      return "link";
    case Component::kGlue:
      return "glue";
  }
  TESSERA_CHECK(false, "component {}", static_cast<int>(component));
}

double Breakdown::total() const {
  double sum = 0;
  for (const double part : pj)
    sum += part;
  return sum;
}

Breakdown& Breakdown::operator+=(const Breakdown& other) {
  for (std::size_t i = 0; i < pj.size(); ++i)
    pj[i] += other.pj[i];
  return *this;
}

std::vector<LevelEnergy> level_energies(const Cost& cost) {
  std::vector<LevelEnergy> levels;
  double other = cost.totals.energy_pj;
  for (const LayerCost& layer : cost.layers) {
    if (!layer.nest)
      continue;
    for (const LevelEnergy& level : layer.nest->levels) {
      auto known = std::find_if(levels.begin(), levels.end(),
                                [&](const LevelEnergy& l) { return l.name == level.name; });
      if (known == levels.end())
        known = levels.insert(levels.end(), {level.name, 0});
      known->energy_pj += level.energy_pj;
      other -= level.energy_pj;
    }
  }
  if (!levels.empty())
    levels.push_back({"other", other});
  return levels;
}

}  // namespace tessera::plan
