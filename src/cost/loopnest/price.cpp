// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/saturate.h"
#include "tessera/cost/loop_nest.h"

namespace tessera::cost {
namespace {

int outermost_kept(const NestCounts& counts, int levels, int tensor) {
  for (int s = levels - 1; s > 0; --s) {
    if ((counts.keep[s] >> tensor & 1U) != 0)
      return s;
  }
  return 0;
}

// Widest operand of a multiplication; 0: whole words.
int operand_bits(const LoopNestModel& model, const Bits& bits) {
  int widest = 0;
  for (int t = 0; t < model.tensors(); ++t) {
    if (!model.read_write(t))
      widest = std::max(widest, bits.tensor[t]);
  }
  return widest;
}

std::int64_t used_clusters(const hw::StorageLevel& level, std::int64_t instances) {
  return std::min(instances, std::max<std::int64_t>(level.instances / level.cluster_size, 1));
}

// Packed words of one tensor at one level, of one instance (L8).
struct Words {
  std::int64_t reads = 0;
  std::int64_t fills = 0;
  std::int64_t updates = 0;
};

Words packed(const TensorCounts& counts, std::int64_t values_per_word) {
  if (values_per_word == 1)
    return {counts.reads, counts.fills, counts.updates};
  return {ceil_divide(counts.reads, values_per_word), ceil_divide(counts.fills, values_per_word),
          ceil_divide(counts.updates, values_per_word)};
}

// Of one instance.
double traffic_pj(const hw::StorageLevel& level, const Words& words) {
  const std::int64_t block = level.block_words;
  const auto reads = static_cast<double>(ceil_divide(words.reads, block));
  const auto writes = static_cast<double>(ceil_divide(words.fills, block)) +
                      static_cast<double>(ceil_divide(words.updates, block));
  return reads * level.read_pj + writes * level.write_pj;
}

// Accesses per cycle of one instance.
struct Demand {
  double reads = 0;
  double writes = 0;

  void add(const Words& words, double compute_cycles) {
    reads += static_cast<double>(words.reads) / compute_cycles;
    writes += static_cast<double>(saturating_add(words.fills, words.updates)) / compute_cycles;
  }
  // At most 1.
  double slowdown(const hw::StorageLevel& level) const {
    double slowdown = 1;
    const auto limit = [&](const std::optional<double>& bandwidth, double demand) {
      if (bandwidth && demand > *bandwidth)
        slowdown = std::min(slowdown, *bandwidth / demand);
    };
    limit(level.read_bandwidth, reads);
    limit(level.write_bandwidth, writes);
    limit(level.shared_bandwidth, reads + writes);
    return slowdown;
  }
};

std::int64_t stretched(std::int64_t compute_cycles, double slowdown) {
  if (slowdown >= 1)
    return compute_cycles;
  const double cycles = std::ceil(static_cast<double>(compute_cycles) / slowdown);
  return cycles >= 9.2e18 ? INT64_MAX : static_cast<std::int64_t>(cycles);
}

}  // namespace

Pricing::Pricing(const LoopNestModel& model, const Bits& bits)
    : level_count_(model.levels()), tensor_count_(model.tensors()) {
  const hw::SpatialUnit& unit = model.unit();
  for (int s = 0; s < level_count_; ++s) {
    const std::int64_t word = unit.levels[s].word_bits;
    const auto per_word = [&](int width) {
      return width == 0 || word == 1 ? std::int64_t{1} : std::max<std::int64_t>(word / width, 1);
    };
    for (int t = 0; t < tensor_count_; ++t) {
      const bool partial = model.read_write(t) && bits.partial_sums != 0;
      outer_ops_[s][t] = per_word(bits.tensor[t]);
      inner_ops_[s][t] = partial ? per_word(bits.partial_sums) : outer_ops_[s][t];
    }
  }
  const int widest = operand_bits(model, bits);
  mac_pj_ = hw::mac_energy_pj(unit.mac, widest);
  macs_per_cycle_ = hw::macs_per_cycle(unit.mac, widest);
}

std::string Pricing::key() const {
  std::string key = fmt::format("{:.17g}/{}", mac_pj_, macs_per_cycle_);
  for (int s = 0; s < level_count_; ++s) {
    for (int t = 0; t < tensor_count_; ++t)
      key += fmt::format(",{}:{}", inner_ops_[s][t], outer_ops_[s][t]);
  }
  return key;
}

Pricing LoopNestModel::pricing(const Bits& bits) const {
  const auto check = [&](const std::string& what, int width) {
    for (const hw::StorageLevel& level : unit_.levels) {
      if (width < 0 || (width > level.word_bits && level.word_bits > 1)) {
        throw UsageError(fmt::format("{} of {} bits; allowed: 1 to the {} bits of a word of {}",
                                     what, width, level.word_bits, level.name));
      }
    }
  };
  for (int t = 0; t < tensors(); ++t)
    check(problem_.tensors[t].name, bits.tensor[t]);
  check("partial sums", bits.partial_sums);
  return Pricing(*this, bits);
}

std::optional<Rejection> LoopNestModel::check_capacity(const NestCounts& counts,
                                                       const Pricing& pricing) const {
  std::array<int, kMaxTensors> top{};
  for (int t = 0; t < tensors(); ++t)
    top[t] = outermost_kept(counts, levels(), t);
  for (int s = 0; s < levels(); ++s) {
    const auto& capacity = unit_.levels[s].capacity_words;
    if (!capacity)
      continue;
    std::int64_t words = 0;
    for (int t = 0; t < tensors(); ++t) {
      if ((counts.keep[s] >> t & 1U) != 0)
        words = saturating_add(
            words, ceil_divide(counts.at[s][t].tile, pricing.values_per_word(s, t, s == top[t])));
    }
    if (words > *capacity)
      return Rejection{Rejection::Reason::kCapacity, static_cast<std::uint8_t>(s), words,
                       *capacity};
  }
  return std::nullopt;
}

NestSummary LoopNestModel::price(const NestCounts& counts, const Pricing& pricing) const {
  const std::int64_t compute = ceil_divide(counts.iterations, pricing.macs_per_cycle());
  NestSummary summary;
  summary.cycles = compute;
  std::array<int, kMaxTensors> top{};
  for (int t = 0; t < tensors(); ++t)
    top[t] = outermost_kept(counts, levels(), t);
  for (int s = 0; s < levels(); ++s) {
    const hw::StorageLevel& level = unit_.levels[s];
    const std::int64_t clusters = used_clusters(level, counts.instances[s]);
    Demand demand;
    double pj = 0;
    double accesses = 0;
    for (int t = 0; t < tensors(); ++t) {
      if ((counts.keep[s] >> t & 1U) == 0)
        continue;
      const Words words = packed(counts.at[s][t], pricing.values_per_word(s, t, s == top[t]));
      pj += traffic_pj(level, words);
      demand.add(words, static_cast<double>(compute));
      accesses += static_cast<double>(words.reads) + static_cast<double>(words.fills) +
                  static_cast<double>(words.updates);
    }
    summary.energy_pj += pj * static_cast<double>(clusters);
    summary.cycles = std::max(summary.cycles, stretched(compute, demand.slowdown(level)));
    if (s == levels() - 1)
      summary.last_level_accesses = accesses * static_cast<double>(counts.instances[s]);
  }
  summary.energy_pj += static_cast<double>(macs_) * pricing.mac_pj();
  for (int s = 0; s < levels(); ++s) {
    summary.energy_pj += unit_.levels[s].leak_pj * static_cast<double>(summary.cycles) *
                         static_cast<double>(counts.instances[s]);
  }
  return summary;
}

Expected<NestSummary, Rejection> LoopNestModel::evaluate(const CompactNest& nest,
                                                         const Pricing& pricing) const {
  if (const auto rejection = check_fanout(nest))
    return tl::unexpected(*rejection);
  NestCounts counts;
  count(nest, counts);
  if (const auto rejection = check_capacity(counts, pricing))
    return tl::unexpected(*rejection);
  return price(counts, pricing);
}

Expected<plan::LoopNestCost> LoopNestModel::cost(const plan::LoopNest& nest, const Bits& bits,
                                                 OutputFills fills) const {
  const CompactNest compact = compile(nest);
  const Pricing prices = pricing(bits);
  if (const auto rejection = check_fanout(compact))
    return tl::unexpected(explain(*rejection));
  NestCounts counts;
  count(compact, counts, fills);
  if (const auto rejection = check_capacity(counts, prices))
    return tl::unexpected(explain(*rejection));
  return breakdown(counts, prices);
}

plan::LoopNestCost LoopNestModel::breakdown(const NestCounts& counts, const Pricing& prices) const {
  const NestSummary summary = price(counts, prices);
  plan::LoopNestCost cost;
  cost.macs = macs_;
  cost.mac_instances = counts.mac_instances;
  cost.mac_pj = static_cast<double>(macs_) * prices.mac_pj();
  cost.cycles = summary.cycles;
  cost.last_level_accesses = summary.last_level_accesses;
  cost.utilization = static_cast<double>(macs_) / (static_cast<double>(unit_.mac.instances) *
                                                   static_cast<double>(prices.macs_per_cycle()) *
                                                   static_cast<double>(summary.cycles));
  cost.energy_pj = cost.mac_pj;
  cost.area_um2 = unit_.mac.area_um2 * static_cast<double>(unit_.mac.instances);
  for (int s = 0; s < levels(); ++s) {
    plan::NestLevelCost row = level_breakdown(s, counts, prices);
    row.leakage_pj = unit_.levels[s].leak_pj * static_cast<double>(summary.cycles) *
                     static_cast<double>(row.instances);
    row.energy_pj += row.leakage_pj;
    cost.energy_pj += row.energy_pj;
    cost.area_um2 += unit_.levels[s].area_um2 * static_cast<double>(unit_.levels[s].instances);
    cost.levels.push_back(std::move(row));
  }
  return cost;
}

plan::NestLevelCost LoopNestModel::level_breakdown(int s, const NestCounts& counts,
                                                   const Pricing& prices) const {
  const hw::StorageLevel& level = unit_.levels[s];
  const std::int64_t compute = ceil_divide(counts.iterations, prices.macs_per_cycle());
  plan::NestLevelCost row;
  row.name = level.name;
  row.instances = counts.instances[s];
  row.clusters = used_clusters(level, row.instances);
  Demand demand;
  for (int t = 0; t < tensors(); ++t) {
    if ((counts.keep[s] >> t & 1U) == 0)
      continue;
    const TensorCounts& at = counts.at[s][t];
    const std::int64_t per_word =
        prices.values_per_word(s, t, s == outermost_kept(counts, levels(), t));
    const Words words = packed(at, per_word);
    demand.add(words, static_cast<double>(compute));
    row.traffic.push_back(
        {.tensor = problem_.tensors[t].name,
         .tile = at.tile,
         .partition = at.partition,
         .capacity_words = ceil_divide(at.tile, per_word),
         .values_per_word = per_word,
         .reads = words.reads,
         .fills = words.fills,
         .updates = words.updates,
         .temporal_reductions = ceil_divide(at.reductions, per_word),
         .energy_pj = traffic_pj(level, words) * static_cast<double>(row.clusters)});
    row.energy_pj += row.traffic.back().energy_pj;
  }
  row.slowdown = demand.slowdown(level);
  row.cycles = stretched(compute, row.slowdown);
  return row;
}

}  // namespace tessera::cost
