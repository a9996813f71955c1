// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/ir/graph.h"
#include "tessera/ir/workload.h"

namespace tessera::ir {

// Where a width stands in a network; for people.
enum class WidthKind {
  kInner,      // between two layers
  kStream,     // a residual stream: branches are added
  kExpansion,  // depthwise layers between
  kHidden,     // between fully connected layers
  kHeads,      // attention heads
  kQueryKey,   // of each head: what queries and keys are compared in
  kValue       // of each head: what attention sums up
};
std::string_view name(WidthKind kind);

// A constant's axis that holds, `outer` times over, `inner` consecutive elements for each channel
// of a width group.
struct WidthAxis {
  ValueId value;
  std::size_t axis = 0;
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  // Elements of one channel meet only the activations of that channel and are added up over
  // channels (the input side of a layer). Otherwise they make or change the channel.
  bool summed = false;
  // Which of the `outer` repetitions make keys: their new channels start at zero.
  std::vector<std::int64_t> zeroed{};
  bool operator==(const WidthAxis&) const = default;
};

// A size that a Reshape states: entry `index` of its own list, or of the constant that it reads.
struct StatedSize {
  NodeId node;
  std::size_t index = 0;
  bool operator==(const StatedSize&) const = default;
};

// Channel dimensions that can only be changed together: the outputs of `writers`, through
// element-wise glue, pooling, depthwise layers, additions, changes of shape and products of
// activations, to the inputs of `readers` (none for queries and keys, which end in a product). The
// network's inputs and outputs are in no group, nor is what passes through a grouped convolution, a
// normalization, a Concat or a Softmax over channels.
struct WidthGroup {
  std::string name;  // of the first writer; in an attention block with the kind behind it
  WidthKind kind = WidthKind::kInner;
  std::int64_t width = 0;
  std::vector<NodeId> writers, readers;
  std::vector<NodeId> depthwise;  // layers that keep the channels apart
  std::vector<WidthAxis> axes;
  std::vector<StatedSize> sizes;
  bool operator==(const WidthGroup&) const = default;
};

// In the order of their first writers. REQUIRES: a verified graph with shapes.
std::vector<WidthGroup> width_groups(const Graph& graph);

// The work of the network if the groups had these widths, without making any weights. REQUIRES:
// groups of this graph, one positive width each.
Workload resized_workload(const Graph& graph, std::span<const WidthGroup> groups,
                          std::span<const std::int64_t> widths);

// Computes what `graph` computes, up to rounding, with `width` channels in the group (Net2Net's
// wider layers, Chen et al. 2016): channels behind the first group.width are copies of others, each
// channel being copied once before any is copied twice, and the elements that read a channel are
// shared out among its copies. Shares differ at random from element to element, so that copies are
// told apart by their gradients from the first training step. New channels of keys are zero: a
// copied query times zero adds nothing, and only the zero learns at first. Names and other groups
// stay, so that widenings compose. REQUIRES: a group of this graph, width >= group.width.
Graph widen(Graph graph, const WidthGroup& group, std::int64_t width, const Rng& rng);
// All of them, group i with rng.split(name of the group).
Graph widen(Graph graph, std::span<const WidthGroup> groups, std::span<const std::int64_t> widths,
            const Rng& rng);

}  // namespace tessera::ir
