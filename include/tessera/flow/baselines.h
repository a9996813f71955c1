// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/cost/tiled.h"
#include "tessera/hw/platform.h"
#include "tessera/plan/mapping.h"

namespace tessera::flow {

bool has_analog_unit(const hw::Platform& platform);
// Formats of the platform's digital units, and of its spatial units those with weights as wide as
// activations, in its order, each once.
std::vector<format::NumberFormat> digital_formats(const hw::Platform& platform);
// Accepts the format that digital layers take in mixed baselines: int8 where the platform offers
// it, else its first digital format.
std::function<bool(const format::NumberFormat&)> fallback_digital(const hw::Platform& platform);

// Every layer on its first path that `wanted` accepts, or else on its first path that `otherwise`
// accepts; none when a layer has neither.
std::optional<plan::Assignment> assign(
    const cost::TiledModel& model, const std::function<bool(const format::NumberFormat&)>& wanted,
    const std::function<bool(const format::NumberFormat&)>& otherwise);

// Analog but for the first and the last layer, which are fallback_digital(); none where a layer has
// no such path.
std::optional<plan::Assignment> ends_digital_assignment(const cost::TiledModel& model);

// Every layer in one format: "fp32", "int8", …; or "analog", where layers that no tile takes are
// fallback_digital(). Throws UsageError for a format that the platform does not offer, with those
// it does.
plan::Assignment uniform_assignment(const cost::TiledModel& model, const std::string& format);

}  // namespace tessera::flow
