// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/cost/tiled.h"

namespace tessera::supernet {

// Layers whose output channels are shared out among units: what ODiMO and Harmonica choose.

// Whether a path's first part is analog.
bool is_analog(const plan::Path& path);

// The paths among which a layer's channels may be shared out: of each unit its first candidate in
// an integer format or analog (what an exported file holds side by side in one layer), or, where
// there is none, the layer's first candidate alone.
std::vector<plan::Path> sharing_paths(const std::vector<plan::Path>& candidates);

// One layer's choice. Channels move in groups of `step`, those of a grouped convolution's group.
struct ChannelChoice {
  std::vector<plan::Path> paths;  // sharing_paths()
  std::int64_t step = 1;
  std::vector<int> path_of;  // of each group an index into `paths`
};

// Group c on paths[path_of[c]]; neighbours on one path make one part.
plan::Path shared_path(const ChannelChoice& choice);

// The layers' paths. Where tiles or memory do not suffice, whole layers give up their tiles for
// their first digital path, those with the fewest MACs on tiles first; `choices` follow. None when
// that does not help.
std::optional<plan::Assignment> fitting_assignment(const cost::TiledModel& model,
                                                   std::vector<ChannelChoice>& choices);

}  // namespace tessera::supernet
