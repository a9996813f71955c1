// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/format/number_format.h"

namespace tessera::plan {

// Output channels [begin, end).
struct ChannelRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool operator==(const ChannelRange&) const = default;
};

// One part of a layer: some of its output channels on one unit in one format.
struct Part {
  std::string unit;
  format::NumberFormat format;
  ChannelRange channels;
  bool operator==(const Part&) const = default;
};

// One way to run one layer: the supernetwork's branch, the search's choice and the mapping's entry
// are all this. Parts are disjoint, ascending and cover all output channels; one part over all is
// the normal case. A unit's channels need not stand together: several parts of one unit and format
// are its list of ranges, and are run and priced as one.
struct Path {
  std::vector<Part> parts;
  bool operator==(const Path&) const = default;
};

// "pcm analog:pcm-lionheart"; "6 of pcm analog:pcm-lionheart + 10 of npu int8" when several units
// or formats share the layer's channels.
std::string to_string(const Path& path);

}  // namespace tessera::plan
