// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/cost.h"

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

}  // namespace tessera::plan
