// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/cost/tiled.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/graph.h"
#include "tessera/ir/widths.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/mapping.h"

namespace tessera::supernet {

// What wider layers may cost beyond the cells that are allocated anyway.
struct AdaptOptions {
  std::int64_t extra_tiles = 0;  // over all layers
  // Of the whole network's latency: layers on tiles take no longer, but glue and layers on digital
  // units do.
  double extra_latency = 0.05;
  bool operator==(const AdaptOptions&) const = default;
};

// The mapping by which adaptations are judged, before any search: layers without groups on the
// first analog unit as long as its tiles last (those with the most MACs a tile first), all others
// on their digital path of least energy. Depthwise layers stay digital: they fill less than a
// hundredth of their tiles.
plan::Assignment reference_assignment(const cost::TiledModel& model);

// A network with one width for each of its groups, and what it costs under the reference mapping.
struct Adaptation {
  std::vector<std::int64_t> widths;
  plan::Totals totals;
  bool operator==(const Adaptation&) const = default;
};

// A chain of adaptations from the network as it is to the widest that the options allow, each wider
// than the one before in one group. Layers that the reference mapping puts on tiles keep their MVMs
// and their latency; all together take at most options.extra_tiles more tiles. The next group is
// the one that gains the most parameters for the energy it adds. REQUIRES: width_groups(graph).
std::vector<Adaptation> adaptations(const ir::Graph& graph, std::span<const ir::WidthGroup> groups,
                                    const hw::Platform& platform, const AdaptOptions& options);

// `count` members of a chain, evenly spread in energy: with one the last, else from the first to
// the last; fewer when several would be the same. REQUIRES: a chain, count >= 1.
std::vector<Adaptation> spread(const std::vector<Adaptation>& chain, std::size_t count);

}  // namespace tessera::supernet
