// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/supernet/adapt.h"

namespace tessera::supernet {
namespace {

// In how many steps a group goes from its width to the widest it may have.
constexpr std::int64_t kSteps = 4;

using Widths = std::vector<std::int64_t>;

class Chain {
 public:
  Chain(const ir::Graph& graph, std::span<const ir::WidthGroup> groups,
        const hw::Platform& platform, const AdaptOptions& options)
      : graph_(graph), groups_(groups), platform_(platform), options_(options) {
    Widths widths;
    for (const ir::WidthGroup& group : groups)
      widths.push_back(group.width);
    const cost::TiledModel model(ir::workload(graph), platform);
    for (const ir::Layer& layer : model.workload().layers)
      layers_.push_back(layer.node);
    reference_ = reference_assignment(model);
    const auto cost = model.evaluate(reference_);
    if (!cost) {
      throw UnsupportedError(fmt::format("{} is too small for the network as it is: {}",
                                         platform.name, cost.error().detail));
    }
    original_ = *cost;
    chain_.push_back({widths, cost->totals});
  }

  std::vector<Adaptation> build() {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      Candidate& candidate = candidates_.emplace_back();
      candidate.most = is_on_tiles(g) ? widest(g, 0) : groups_[g].width;
      propose(g);
    }
    for (auto best = best_candidate(); best; best = best_candidate()) {
      // Gains shift as other groups grow: what was found to be the best is looked at again, and
      // taken as it is now.
      propose(*best);
      if (!candidates_[*best].next)
        continue;
      chain_.push_back(*candidates_[*best].next);
      propose(*best);
    }
    return std::move(chain_);
  }

 private:
  // A group's next step from the end of the chain.
  struct Candidate {
    std::int64_t most = 0;  // alone, from the network as it is
    std::optional<Adaptation> next;
    double gain = 0;  // parameters per picojoule
  };

  bool is_on_tiles(std::size_t group) const {
    const auto on_tiles = [&](ir::NodeId id) {
      const auto found = std::ranges::find(layers_, id);
      return original_.layers[static_cast<std::size_t>(found - layers_.begin())].tiles > 0;
    };
    return std::ranges::any_of(groups_[group].writers, on_tiles) ||
           std::ranges::any_of(groups_[group].readers, on_tiles);
  }

  // What the widths cost, if the options allow them.
  std::optional<Adaptation> allowed(const Widths& widths) const {
    const cost::TiledModel model(ir::resized_workload(graph_, groups_, widths), platform_);
    plan::Assignment assignment = reference_;
    for (std::size_t i = 0; i < assignment.paths.size(); ++i)
      assignment.paths[i].parts.back().channels.end = model.workload().layers[i].dims.M;
    const auto cost = model.evaluate(assignment);
    if (!cost || cost->totals.tiles > original_.totals.tiles + options_.extra_tiles ||
        cost->totals.latency_ns > original_.totals.latency_ns * (1 + options_.extra_latency))
      return std::nullopt;
    for (std::size_t i = 0; i < cost->layers.size(); ++i) {
      if (original_.layers[i].tiles > 0 &&
          cost->layers[i].latency_ns > original_.layers[i].latency_ns)
        return std::nullopt;
    }
    return Adaptation{widths, cost->totals};
  }
  std::optional<Adaptation> allowed(std::size_t group, std::int64_t width) const {
    Widths widths = chain_.back().widths;
    widths[group] = width;
    return allowed(widths);
  }

  // The largest width up to `limit` (0: none) that is allowed for one group now. Costs only grow
  // with widths, so it can be bisected.
  std::int64_t widest(std::size_t group, std::int64_t limit) const {
    std::int64_t low = chain_.back().widths[group];
    std::int64_t high = limit > 0 ? limit + 1 : 2 * low;
    while (limit == 0 && allowed(group, high)) {
      low = high;
      high *= 2;
    }
    while (high - low > 1) {
      const std::int64_t middle = low + (high - low) / 2;
      (allowed(group, middle) ? low : high) = middle;
    }
    return low;
  }

  void propose(std::size_t group) {
    Candidate& candidate = candidates_[group];
    candidate.next.reset();
    const std::int64_t original = groups_[group].width;
    const std::int64_t now = chain_.back().widths[group];
    if (now >= candidate.most)
      return;
    std::int64_t wanted = candidate.most;
    for (std::int64_t step = kSteps; step-- > 1;) {
      const std::int64_t width = original + (candidate.most - original) * step / kSteps;
      if (width > now)
        wanted = width;
    }
    candidate.next = allowed(group, wanted);
    if (!candidate.next) {
      // Other groups have used up what this one could have had alone.
      candidate.most = widest(group, wanted - 1);
      if (candidate.most == now)
        return;
      candidate.next = allowed(group, candidate.most);
    }
    const plan::Totals& before = chain_.back().totals;
    const double energy_pj = candidate.next->totals.energy_pj - before.energy_pj;
    candidate.gain = static_cast<double>(candidate.next->totals.params - before.params) /
                     std::max(energy_pj, 1e-9);
  }

  std::optional<std::size_t> best_candidate() const {
    std::optional<std::size_t> best;
    for (std::size_t g = 0; g < candidates_.size(); ++g) {
      if (candidates_[g].next && (!best || candidates_[g].gain > candidates_[*best].gain))
        best = g;
    }
    return best;
  }

  const ir::Graph& graph_;
  std::span<const ir::WidthGroup> groups_;
  const hw::Platform& platform_;
  const AdaptOptions& options_;
  std::vector<ir::NodeId> layers_;
  plan::Assignment reference_;
  plan::Cost original_;
  std::vector<Adaptation> chain_;
  std::vector<Candidate> candidates_;
};

}  // namespace

std::vector<Adaptation> adaptations(const ir::Graph& graph, std::span<const ir::WidthGroup> groups,
                                    const hw::Platform& platform, const AdaptOptions& options) {
  return Chain(graph, groups, platform, options).build();
}

std::vector<Adaptation> spread(const std::vector<Adaptation>& chain, std::size_t count) {
  TESSERA_CHECK(!chain.empty() && count >= 1, "{} of a chain of {}", count, chain.size());
  const double first = chain.front().totals.energy_pj;
  const double last = chain.back().totals.energy_pj;
  std::vector<Adaptation> members;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = count == 1 ? 1 : static_cast<double>(i) / static_cast<double>(count - 1);
    const double wanted = first + share * (last - first);
    const auto nearest = std::ranges::min_element(
        chain, {}, [&](const Adaptation& a) { return std::abs(a.totals.energy_pj - wanted); });
    if (members.empty() || members.back() != *nearest)
      members.push_back(*nearest);
  }
  return members;
}

}  // namespace tessera::supernet
