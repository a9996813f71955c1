// SPDX-License-Identifier: Apache-2.0
#include "node.h"

#include <algorithm>
#include <cmath>

#include "tessera/core/saturate.h"

namespace tessera::search {
namespace {

using cost::Extents;

// Rounding of sums must not make a bound exceed what it bounds.
constexpr double kRounding = 1 - 1e-12;

bool has(std::uint32_t set, int bit) {
  return (set >> bit & 1U) != 0;
}

}  // namespace

NestBrancher::NestBrancher(const MapSpace& space, const cost::Pricing& pricing, bool bounds)
    : space_(space),
      model_(space.model()),
      pricing_(pricing),
      bounds_(bounds),
      dims_(model_.dims()),
      tensors_(model_.tensors()),
      levels_(model_.levels()),
      macs_(static_cast<double>(model_.problem().macs())) {
  nest_.level_count = levels_;
  for (int d = 0; d < dims_; ++d) {
    std::vector<std::int64_t> divisors;
    const std::int64_t bound = model_.problem().dims[d].bound;
    for (std::int64_t f = 1; f * f <= bound; ++f) {
      if (bound % f == 0) {
        divisors.push_back(f);
        if (f * f != bound)
          divisors.push_back(bound / f);
      }
    }
    std::ranges::sort(divisors);
    divisors_.push_back(std::move(divisors));
    Inside inside;
    for (int s = 0; s < levels_; ++s) {
      for (const bool temporal : {false, true}) {
        inside_[s][temporal ? 1 : 0][d] = inside;
        const MapSpace::Slot& slot = place(s, temporal).slot[d];
        inside.free = inside.free || slot.free;
        inside.fixed *= slot.free ? 1 : slot.fixed;
      }
    }
  }
}

bool NestBrancher::start(std::int64_t keep, NestNode& root) {
  for (int s = 0; s < levels_; ++s) {
    const auto& choices = space_.levels()[s].keep_choices;
    const auto count = static_cast<std::int64_t>(choices.size());
    nest_.levels[s] = {};
    nest_.levels[s].keep = choices[static_cast<std::size_t>(keep % count)];
    keep /= count;
  }
  loop_begin_ = loops_.size();
  for (int t = 0; t < tensors_; ++t) {
    innermost_[t] = levels_;
    for (int s = levels_; s-- > 0;) {
      if (!has(nest_.levels[s].keep, t))
        continue;
      if (innermost_[t] == levels_)
        outermost_[t] = s;
      innermost_[t] = s;
    }
    for (int s = 0; s < levels_; ++s) {
      const hw::StorageLevel& level = model_.unit().levels[s];
      const auto per_word = static_cast<double>(pricing_.values_per_word(s, t, s == outermost_[t]));
      const double values = per_word * static_cast<double>(level.block_words) *
                            static_cast<double>(level.cluster_size);
      rates_[s][t] = {level.read_pj / values, level.write_pj / values, 1 / per_word};
    }
  }
  root = {};
  for (int d = 0; d < dims_; ++d)
    root.rest[d] = model_.problem().dims[d].bound;
  const int top = levels_ - 1;
  if (!fits(top, root.rest))
    return false;
  for (int t = 0; t < tensors_; ++t) {
    root.partition[t] = model_.volume(t, root.rest.data());
    if (has(nest_.levels[top].keep, t))
      root.open[t] = {.parent = top, .partition = root.partition[t]};
  }
  set_bound(top, root);
  return true;
}

void NestBrancher::restore(const cost::CompactNest& nest, int decided) {
  loop_begin_ = loops_.size();
  Extents rest{};
  for (int d = 0; d < dims_; ++d)
    rest[d] = model_.problem().dims[d].bound;
  for (int s = levels_ - 1; s >= decided; --s) {
    nest_.levels[s] = nest.levels[s];
    const cost::CompactNest::Level& level = nest_.levels[s];
    for (int i = 0; i < level.temporal.count; ++i)
      rest[level.temporal.dim[i]] /= level.temporal.bound[i];
    push_loops(level.temporal, rest);
    for (const cost::LoopBlock* block : {&level.x, &level.y}) {
      for (int i = 0; i < block->count; ++i)
        rest[block->dim[i]] /= block->bound[i];
    }
  }
}

void NestBrancher::enter(int s, const cost::CompactNest::Level& level, const Extents& rest) {
  nest_.levels[s] = level;
  Extents inside = rest;
  for (const cost::LoopBlock* block : {&level.x, &level.y}) {
    for (int i = 0; i < block->count; ++i)
      inside[block->dim[i]] *= block->bound[i];
  }
  push_loops(level.temporal, inside);
}

// `rest` is what the loops go around; each dimension stands once among them.
void NestBrancher::push_loops(const cost::LoopBlock& temporal, const Extents& rest) {
  for (int i = temporal.count; i-- > 0;)
    loops_[--loop_begin_] = {temporal.bound[i], rest[temporal.dim[i]], temporal.dim[i]};
}

std::int64_t NestBrancher::words(std::int64_t values, int s, int t) const {
  return ceil_divide(values, pricing_.values_per_word(s, t, s == outermost_[t]));
}

bool NestBrancher::fits(int s, const Extents& tile) const {
  const auto& capacity = model_.unit().levels[s].capacity_words;
  if (!capacity)
    return true;
  std::int64_t total = 0;
  for (int t = 0; t < tensors_; ++t) {
    if (has(nest_.levels[s].keep, t))
      total = saturating_add(total, words(model_.volume(t, tile.data()), s, t));
  }
  return total <= *capacity;
}

double NestBrancher::energy(std::int64_t count, std::int64_t instances, int s, double pj) const {
  const hw::StorageLevel& level = model_.unit().levels[s];
  const std::int64_t clusters =
      std::min(instances, std::max<std::int64_t>(level.instances / level.cluster_size, 1));
  return static_cast<double>(ceil_divide(count, level.block_words)) * pj *
         static_cast<double>(clusters);
}

// Level `child` keeps the tensor and `traffic` values enter each of its instances: what its parent
// serves is known now.
void NestBrancher::serve(int t, int child, std::int64_t traffic, NestNode& node) const {
  NestNode::Open& open = node.open[t];
  const bool read_write = model_.read_write(t);
  if (open.parent >= 0) {
    const hw::StorageLevel& parent = model_.unit().levels[open.parent];
    const std::int64_t content =
        saturating_multiply(traffic, open.linked ? open.plain : open.distinct);
    const std::int64_t reads = read_write ? saturating_subtract(content, open.partition) : content;
    const std::int64_t read_words = words(reads, open.parent, t);
    const std::int64_t update_words = read_write ? words(content, open.parent, t) : 0;
    node.energy_pj += energy(read_words, open.instances, open.parent, parent.read_pj) +
                      energy(update_words, open.instances, open.parent, parent.write_pj);
    node.reads[open.parent] += static_cast<double>(read_words);
    node.writes[open.parent] += static_cast<double>(update_words);
    if (open.parent == levels_ - 1)
      node.last_level_accesses += static_cast<double>(read_words + update_words);
    std::int64_t fills = traffic;
    if (open.linked)
      fills = 0;
    else if (read_write)
      fills = saturating_subtract(traffic, node.partition[t]);
    const std::int64_t fill_words = words(fills, child, t);
    node.energy_pj +=
        energy(fill_words, node.instances, child, model_.unit().levels[child].write_pj);
    node.writes[child] += static_cast<double>(fill_words);
  }
  open = {.parent = child, .instances = node.instances, .partition = node.partition[t]};
}

bool NestBrancher::decide_spatial(int s, const Factors& factors, const NestNode& before,
                                  Child& child) {
  if (!space_.lay_out(s, factors, child.level))
    return false;
  Extents tile = before.rest;
  std::int64_t used = 1;
  for (int d = 0; d < dims_; ++d) {
    tile[d] /= factors[d];
    used *= factors[d];
  }
  if (s > 0 && !fits(s - 1, tile))
    return false;
  NestNode& node = child.node;
  node = before;
  node.rest = tile;
  node.instances *= used;
  if (!bounds_)
    return true;
  for (int t = 0; t < tensors_; ++t) {
    const std::int64_t volume = model_.volume(t, tile.data());
    NestNode::Open& open = node.open[t];
    if (used > 1) {
      node.partition[t] =
          multiply_divide(node.partition[t], volume, model_.volume(t, before.rest.data()));
      open.distinct *= cost::distinct_tiles(model_, t, tile, before.rest);
      open.fanout *= used;
      for (int d = 0; d < dims_; ++d) {
        if (has(model_.relevant(t), d) && !has(model_.sliding(t), d))
          open.plain *= factors[d];
      }
      open.linked = open.linked || cost::links_can_fire(model_, t, s, tile, child.level.x,
                                                        child.level.y, outside());
    }
    if (s > 0 && has(nest_.levels[s - 1].keep, t))
      serve(t, s - 1, cost::tile_traffic(model_, t, tile, volume, outside()), node);
  }
  set_bound(s - 1, node);
  return true;
}

// Values that enter `tile` (or smaller tiles inside it) at least (B2): exact for tensors whose
// tiles do not overlap; for sliding windows, every value once for each run of the loops that do not
// slide.
double NestBrancher::least_traffic(int t, const Extents& tile) const {
  if (model_.is_simple(t)) {
    return static_cast<double>(
        cost::tile_traffic(model_, t, tile, model_.volume(t, tile.data()), outside()));
  }
  Extents slid = tile;  // extents along which a window has slid
  double runs = 1;
  bool moved = false;
  for (const cost::TemporalLoop& loop : outside()) {
    if (has(model_.sliding(t), loop.dim))
      slid[loop.dim] *= loop.bound;
    else if (has(model_.relevant(t), loop.dim) || moved)
      runs *= static_cast<double>(loop.bound);
    moved = moved || has(model_.relevant(t), loop.dim);
  }
  double values = 1;
  for (const auto& axis : model_.problem().tensors[t].axes) {
    // Positions a·i + b·j: at least as many as one term alone has, and, when the inner term is
    // dense, a window's width more.
    std::int64_t least = 1;
    for (std::size_t i = 0; i < axis.size(); ++i) {
      const std::int64_t steps = slid[axis[i].dim];
      least = std::max(least, steps);
      for (std::size_t k = 0; k < axis.size(); ++k) {
        if (k != i && axis[k].coefficient == 1) {
          const std::int64_t window = tile[axis[k].dim];
          least = std::max(least, window + (steps - 1) * std::min(window, axis[i].coefficient));
        }
      }
    }
    values *= static_cast<double>(least);
  }
  return values * runs;
}

// Least share of different tiles among those that the spatial loops of `block` hand out: 1 over the
// most instances that can share one.
double NestBrancher::least_distinct(int t, int block, const Extents& rest) const {
  const MapSpace::Place& here = place(block, false);
  double shared = 1;
  for (int d = 0; d < dims_; ++d) {
    if (!has(model_.relevant(t), d) || has(model_.sliding(t), d))
      shared *= static_cast<double>(here.slot[d].free ? std::min(rest[d], here.slot[d].at_most)
                                                      : here.slot[d].fixed);
  }
  const auto fanout =
      static_cast<double>(model_.unit().fanout_x(block) * model_.unit().fanout_y(block));
  return 1 / std::min(shared, fanout);
}

// The largest product of factors that the spatial loops of `block` can have.
std::int64_t NestBrancher::most_used(int block, const Extents& rest) const {
  const std::int64_t fanout = model_.unit().fanout_x(block) * model_.unit().fanout_y(block);
  if (fanout == 1)
    return 1;
  const MapSpace::Place& here = place(block, false);
  std::int64_t best = 1;
  const auto fill = [&](const auto& self, int d, std::int64_t used) -> void {
    best = std::max(best, used);
    for (; d < dims_; ++d) {
      const MapSpace::Slot& slot = here.slot[d];
      if (rest[d] == 1 || (!slot.free && slot.fixed == 1))
        continue;
      for (const std::int64_t f : divisors_[d]) {
        if (used * f > fanout || best == fanout)
          break;
        if (f > 1 && rest[d] % f == 0 && (slot.free ? f <= slot.at_most : f == slot.fixed))
          self(self, d + 1, used * f);
      }
    }
  };
  fill(fill, 0, 1);
  return best;
}

// Energy of the traffic of one tensor that open levels will cause, at least (B3, B4); also words
// that the innermost decided level must serve, per instance.
double NestBrancher::open_energy(int t, int next_block, const NestNode& node, double& parent_words,
                                 double& parent_writes) const {
  const NestNode::Open& open = node.open[t];
  const bool read_write = model_.read_write(t);
  const int inner = innermost_[t];
  if (inner == levels_)
    return 0;  // kept nowhere
  // Of all instances together.
  double total = 0;
  if (open.parent >= 0) {
    const std::int64_t distinct = model_.is_simple(t) ? open.distinct : open.plain;
    total = least_traffic(t, node.rest) * static_cast<double>(distinct) *
            static_cast<double>(open.instances);
  }
  // What the MACs ask of the innermost level that keeps the tensor.
  const bool is_inner = open.parent == inner;
  double ratio = is_inner ? static_cast<double>(open.linked ? open.plain : open.distinct) /
                                static_cast<double>(open.fanout)
                          : 1;
  for (int b = std::min(inner, next_block); b >= 0; --b)
    ratio *= least_distinct(t, b, node.rest);
  const double asked = std::max(total, macs_ * ratio);

  double pj = 0;
  const auto add = [&](int s, double content, double fills, double partition) {
    const Rate& rate = rates_[s][t];
    const double reads = read_write ? std::max(content - partition, 0.0) : content;
    pj += reads * rate.read_pj + (read_write ? content : 0) * rate.write_pj + fills * rate.write_pj;
    if (s == open.parent) {
      parent_words = reads * rate.words / static_cast<double>(open.instances);
      parent_writes = read_write ? content * rate.words / static_cast<double>(open.instances) : 0;
    }
  };
  if (open.parent >= 0) {
    add(open.parent, is_inner ? asked : total, 0,
        static_cast<double>(open.partition) * static_cast<double>(open.instances));
  }
  const int first = open.parent >= 0 ? open.parent - 1 : next_block;
  // Partial sums that further fan-outs may spread the same outputs over.
  double spread = static_cast<double>(node.partition[t]) * static_cast<double>(node.instances);
  for (int s = std::min(first, next_block); s >= inner && !is_inner; --s) {
    if (s < next_block + 1 && s + 1 <= next_block)
      spread /= least_distinct(t, s + 1, node.rest);
    if (!has(nest_.levels[s].keep, t))
      continue;
    add(s, s == inner ? asked : total, read_write || s == outermost_[t] ? 0 : total, spread);
  }
  return pj;
}

void NestBrancher::set_bound(int next_block, NestNode& node) const {
  if (!bounds_)
    return;
  NestBound& bound = node.bound;
  bound.energy_pj = node.energy_pj + macs_ * pricing_.mac_pj();
  bound.last_level_accesses = node.last_level_accesses;
  std::int64_t used = node.instances;
  for (int b = next_block; b >= 0; --b)
    used = saturating_multiply(used, most_used(b, node.rest));
  bound.cycles = std::ceil(macs_ / static_cast<double>(used) /
                           static_cast<double>(pricing_.macs_per_cycle()) * kRounding);
  std::array<double, cost::kMaxLevels> reads = node.reads;
  std::array<double, cost::kMaxLevels> writes = node.writes;
  for (int t = 0; t < tensors_; ++t) {
    double parent_reads = 0;
    double parent_writes = 0;
    bound.energy_pj += open_energy(t, next_block, node, parent_reads, parent_writes);
    const int parent = node.open[t].parent;
    if (parent < 0)
      continue;
    reads[parent] += parent_reads;
    writes[parent] += parent_writes;
    if (parent == levels_ - 1)
      bound.last_level_accesses += parent_reads + parent_writes;
  }
  for (int s = std::max(next_block, 0); s < levels_; ++s) {
    const hw::StorageLevel& level = model_.unit().levels[s];
    const auto stretch = [&](const std::optional<double>& bandwidth, double words) {
      if (bandwidth)
        bound.cycles = std::max(bound.cycles, words / *bandwidth * kRounding);
    };
    stretch(level.read_bandwidth, reads[s]);
    stretch(level.write_bandwidth, writes[s]);
    stretch(level.shared_bandwidth, reads[s] + writes[s]);
  }
  bound.energy_pj *= kRounding;
  bound.last_level_accesses *= kRounding;
}

}  // namespace tessera::search
