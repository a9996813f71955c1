// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "tessera/core/saturate.h"
#include "tessera/cost/loop_nest.h"

#include "nest_view.h"

namespace tessera::cost {
namespace {

std::int64_t rounded(double value) {
  if (value <= 0)
    return 0;
  return value >= 9.2e18 ? INT64_MAX : std::llround(value);
}

}  // namespace

// Counts one nest; rules L3 to L6 of docs/loopnest_model.md.
class NestCounter {
 public:
  NestCounter(const LoopNestModel& model, const CompactNest& nest)
      : model_(model), view_(model, nest) {}

  void run(NestCounts& counts, OutputFills fills) const;

 private:
  bool kept(int s, int t) const { return (view_.nest.levels[s].keep >> t & 1U) != 0; }
  std::int64_t boundary(int t, int s, std::int64_t tile) const;
  std::int64_t distinct(int t, int s) const;
  bool links_can_fire(int t) const;
  void count_partitions(int t, NestCounts& counts) const;
  void count_tensor(int t, int outermost, NestCounts& counts, OutputFills fills) const;
  void count_linked(int t, int outermost, NestCounts& counts, OutputFills fills) const;
  void place(int t, int s, bool is_outermost, double content, double share, double peer,
             NestCounts& counts, OutputFills fills) const;

  const LoopNestModel& model_;
  NestView view_;
};

std::int64_t NestCounter::boundary(int t, int s, std::int64_t tile) const {
  const int first = view_.first_outside(s);
  return tile_traffic(
      model_, t, s < 0 ? view_.unit : view_.tile[s], tile,
      {view_.loops.data() + first, static_cast<std::size_t>(view_.loop_count - first)});
}

std::int64_t NestCounter::distinct(int t, int s) const {
  if (view_.spatial[s] == 1)
    return 1;
  return distinct_tiles(model_, t, view_.tile_below(s), view_.spread[s]);
}

bool NestCounter::links_can_fire(int t) const {
  if (model_.is_simple(t))
    return false;
  for (int s = 0; s < view_.levels; ++s) {
    if (view_.spatial[s] == 1)
      continue;
    const int first = view_.first_outside(s - 1);
    const CompactNest::Level& level = view_.nest.levels[s];
    if (cost::links_can_fire(
            model_, t, s, view_.tile_below(s), level.x, level.y,
            {view_.loops.data() + first, static_cast<std::size_t>(view_.loop_count - first)}))
      return true;
  }
  return false;
}

void NestCounter::count_partitions(int t, NestCounts& counts) const {
  const int top = view_.levels - 1;
  std::int64_t partition = model_.volume(t, view_.tile[top].data());
  for (int s = top; s >= 0; --s) {
    const std::int64_t tile = model_.volume(t, view_.tile[s].data());
    if (s < top) {
      const bool spreads = view_.spatial[s + 1] > 1;
      const std::int64_t over = spreads ? model_.volume(t, view_.spread[s + 1].data()) : tile;
      partition = multiply_divide(partition, tile, over);
    }
    counts.at[s][t].tile = tile;
    counts.at[s][t].partition = partition;
  }
}

// L6: what a level reads, is filled with and is updated with.
void NestCounter::place(int t, int s, bool is_outermost, double content, double share, double peer,
                        NestCounts& counts, OutputFills fills) const {
  TensorCounts& at = counts.at[s][t];
  if (!model_.read_write(t)) {
    at.reads = rounded(content + peer);
    at.fills = is_outermost ? 0 : rounded(std::floor(share + peer));
    at.updates = 0;
    at.reductions = 0;
    return;
  }
  const auto held = static_cast<double>(at.partition);
  at.updates = rounded(content);
  at.reads = at.reductions = rounded(content + peer - held);
  if (is_outermost)
    at.fills = 0;
  else if (fills == OutputFills::k2023)
    at.fills = rounded(share);
  else
    at.fills = rounded(share + peer - held);
}

void NestCounter::count_tensor(int t, int outermost, NestCounts& counts, OutputFills fills) const {
  std::int64_t content = view_.suffix[0];
  for (int s = 0; s <= outermost; ++s) {
    content = saturating_multiply(content, distinct(t, s));
    if (!kept(s, t))
      continue;
    TensorCounts& at = counts.at[s][t];
    const std::int64_t share = s == outermost ? 0 : boundary(t, s, at.tile);
    if (model_.read_write(t)) {
      at.updates = content;
      at.reads = at.reductions = saturating_subtract(content, at.partition);
      at.fills = fills == OutputFills::k2023 ? share : saturating_subtract(share, at.partition);
    } else {
      at.reads = content;
      at.fills = share;
      at.updates = at.reductions = 0;
    }
    content = share;
  }
}

// The general way, with transfers between neighbours.
void NestCounter::count_linked(int t, int outermost, NestCounts& counts, OutputFills fills) const {
  const LinkedTraffic traffic = walk_with_links(model_, view_, t);
  const int levels = view_.levels;
  std::array<double, kMaxLevels> content{};
  std::array<double, kMaxLevels> share{};
  std::array<double, kMaxLevels> links = traffic.links;
  for (int s = 0; s < levels; ++s) {
    content[s] = traffic.accesses[s];
    if (s + 1 < levels)
      share[s] = traffic.received[s + 1] / static_cast<double>(view_.spatial[s + 1]);
  }
  for (int s = 0; s + 1 < levels; ++s) {
    if (kept(s, t))
      continue;
    const double received = traffic.received[s + 1];
    const double factor =
        received > 0 ? content[s] * static_cast<double>(view_.spatial[s + 1]) / received : 0;
    content[s + 1] *= factor;
    links[s + 1] = 0;
  }
  for (int s = 0; s <= outermost; ++s) {
    if (!kept(s, t))
      continue;
    const double peer =
        s + 1 < levels ? links[s + 1] / static_cast<double>(counts.instances[s]) : 0;
    place(t, s, s == outermost, content[s], s == outermost ? 0 : share[s], peer, counts, fills);
  }
}

void NestCounter::run(NestCounts& counts, OutputFills fills) const {
  const int levels = view_.levels;
  counts.iterations = view_.suffix[0];
  std::int64_t instances = 1;
  for (int s = levels - 1; s >= 0; --s) {
    counts.instances[s] = instances;
    counts.keep[s] = view_.nest.levels[s].keep;
    instances *= view_.spatial[s];
  }
  counts.mac_instances = instances;
  for (int t = 0; t < model_.tensors(); ++t) {
    count_partitions(t, counts);
    int outermost = levels - 1;
    while (outermost > 0 && !kept(outermost, t))
      --outermost;
    if (links_can_fire(t))
      count_linked(t, outermost, counts, fills);
    else
      count_tensor(t, outermost, counts, fills);
  }
}

void LoopNestModel::count(const CompactNest& nest, NestCounts& counts, OutputFills fills) const {
  NestCounter(*this, nest).run(counts, fills);
}

}  // namespace tessera::cost
