// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/ir/graph.h"

namespace tessera::flow {

// Networks that `tessera train` can start from nothing: residual networks for small images (He et
// al. 2016, section 4.2), three stages of 16, 32 and 64 channels, 1×1 convolutions where shapes
// change, batch normalization, global average pooling, one fully connected layer. Weights are
// He-normal.
std::vector<std::string> architecture_names();  // "resnet8", "resnet20"
// Throws UsageError that lists the known names.
ir::Graph make_architecture(std::string_view name, const ir::Shape& image, std::int64_t classes,
                            Rng rng);

}  // namespace tessera::flow
