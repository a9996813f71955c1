// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// Trains a widened network in float32, with batch normalization put back for as long as it lasts,
// and returns it folded. Continues from the observer's checkpoint; none when the observer does not
// keep going to the end. Statistics come from `calibration_images`.
std::optional<ir::Graph> train_widened(const ir::Graph& start, const Problem& problem,
                                       const nn::TrainingOptions& options,
                                       std::int64_t calibration_images, const Rng& rng,
                                       Observer& observer);

}  // namespace tessera::supernet
