// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/map_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/core/saturate.h"

namespace tessera::search {
namespace {

using hw::FactorConstraint;

// Dimensions of the problem that a name in a constraint stands for.
std::vector<int> dims_named(const ir::LoopProblem& problem, const std::string& name) {
  std::vector<int> dims;
  if (const int dim = problem.find_dim(name); dim >= 0)
    dims.push_back(dim);
  const char* stand_in = name == "M" ? "G" : name == "C" ? "K" : nullptr;
  if (stand_in != nullptr) {
    if (const int dim = problem.find_dim(stand_in); dim >= 0)
      dims.push_back(dim);
  }
  return dims;
}

bool names(const std::vector<FactorConstraint>& factors, const std::string& name) {
  return std::ranges::find(factors, name, &FactorConstraint::dim) != factors.end();
}

std::vector<std::int64_t> divisors(std::int64_t n) {
  std::vector<std::int64_t> result;
  for (std::int64_t f = 1; f * f <= n; ++f) {
    if (n % f == 0) {
      result.push_back(f);
      if (f * f != n)
        result.push_back(n / f);
    }
  }
  std::ranges::sort(result);
  return result;
}

std::int64_t factorial(std::size_t n) {
  std::int64_t product = 1;
  for (std::size_t i = 2; i <= n; ++i)
    product *= static_cast<std::int64_t>(i);
  return product;
}

}  // namespace

MapSpace::MapSpace(const cost::LoopNestModel& model) : model_(model) {
  levels_.resize(static_cast<std::size_t>(model.levels()));
  for (int s = 0; s < model.levels(); ++s)
    resolve_places(s);
  resolve_factors();
  resolve_keeps();
  splits_.resize(static_cast<std::size_t>(model.dims()));
  for (int d = 0; d < model.dims(); ++d)
    split_dimension(d);
}

// Orders, splits, and which places are open at all.
void MapSpace::resolve_places(int s) {
  const hw::StorageLevel& unit = model_.unit().levels[s];
  const ir::LoopProblem& problem = model_.problem();
  Level& level = levels_[s];
  const auto order = [&](const std::vector<std::string>& written, std::vector<int>& dims) {
    for (const std::string& name : written) {
      for (const int dim : dims_named(problem, name)) {
        if (std::ranges::find(dims, dim) == dims.end())
          dims.push_back(dim);
      }
    }
  };
  order(unit.temporal.inner, level.temporal.inner);
  order(unit.temporal.outer, level.temporal.outer);
  order(unit.spatial.inner, level.spatial.inner);
  order(unit.spatial.outer, level.spatial.outer);
  const std::int64_t fanout = model_.unit().fanout_x(s) * model_.unit().fanout_y(s);
  for (int d = 0; d < model_.dims(); ++d) {
    level.temporal.slot[d].free = !unit.keeps_nothing;
    level.spatial.slot[d].free = fanout > 1;
    level.spatial.slot[d].at_most = fanout;
  }
  if (unit.min_parallelism)
    level.min_used =
        static_cast<std::int64_t>(std::ceil(*unit.min_parallelism * static_cast<double>(fanout)));
  if (!unit.spatial.split)
    return;
  // The split counts positions of the whole order, absent dimensions included.
  std::uint32_t x_dims = 0;
  std::uint32_t placed = 0;
  int position = 0;
  for (const std::string& name : unit.spatial.inner) {
    for (const int dim : dims_named(problem, name)) {
      placed |= 1U << dim;
      x_dims |= position < *unit.spatial.split ? 1U << dim : 0U;
    }
    ++position;
  }
  for (int d = 0; d < model_.dims(); ++d) {
    if ((placed >> d & 1U) == 0)
      x_dims |= position++ < *unit.spatial.split ? 1U << d : 0U;
  }
  level.x_dims = x_dims;
}

void MapSpace::resolve_factors() {
  const ir::LoopProblem& problem = model_.problem();
  std::vector<std::int64_t> taken(problem.dims.size(), 1);
  const auto apply = [&](const hw::LoopConstraint& constraint, Place& place) {
    for (const FactorConstraint& factor : constraint.factors) {
      for (const int d : dims_named(problem, factor.dim)) {
        const std::string& name = problem.dims[d].name;
        const bool stands_in = name != factor.dim;
        if (stands_in && names(constraint.factors, name))
          continue;
        // Beside its namesake a stand-in is shut out where that is, and free elsewhere.
        const bool beside = stands_in && problem.find_dim(factor.dim) >= 0;
        if (beside && (factor.kind != FactorConstraint::Kind::kExactly || factor.factor != 1))
          continue;
        MapSpace::Slot& slot = place.slot[d];
        const std::int64_t bound = problem.dims[d].bound;
        const std::int64_t wanted =
            factor.kind == FactorConstraint::Kind::kFull ? bound : factor.factor;
        if (factor.kind == FactorConstraint::Kind::kAtMost) {
          slot.at_most = std::min(slot.at_most, wanted);
        } else if (bound % saturating_multiply(taken[d], wanted) == 0) {
          taken[d] *= wanted;
          slot = {.free = false, .fixed = wanted};
        }
      }
    }
  };
  for (int s = 0; s < model_.levels(); ++s) {
    apply(model_.unit().levels[s].spatial, levels_[s].spatial);
    apply(model_.unit().levels[s].temporal, levels_[s].temporal);
  }
  for (int d = 0; d < model_.dims(); ++d) {
    bool any_free = false;
    for (const Level& level : levels_)
      any_free = any_free || level.temporal.slot[d].free || level.spatial.slot[d].free;
    if (!any_free && taken[d] != problem.dims[d].bound)
      throw ConfigError(fmt::format(
          "constraints of {}: the factors of {} are fixed to {} in all; the problem has {}",
          model_.unit().name, problem.dims[d].name, taken[d], problem.dims[d].bound));
  }
}

void MapSpace::resolve_keeps() {
  const ir::LoopProblem& problem = model_.problem();
  std::uint32_t kept_inside = 0;
  for (int s = 0; s < model_.levels(); ++s) {
    const hw::StorageLevel& unit = model_.unit().levels[s];
    Level& level = levels_[s];
    std::uint32_t must = 0;
    std::uint32_t may = 0;
    for (int t = 0; t < model_.tensors(); ++t) {
      const auto listed = [&](const std::vector<std::string>& list) {
        return std::ranges::find(list, problem.tensors[t].name) != list.end();
      };
      // Data comes from somewhere: the outermost level keeps all that it may.
      const bool outermost = s == model_.levels() - 1;
      if (unit.keeps_nothing || listed(unit.bypass))
        continue;
      (listed(unit.keep) || outermost ? must : may) |= 1U << t;
    }
    for (std::uint32_t choice = may;; choice = (choice - 1) & may) {
      level.keep_choices.push_back(static_cast<std::uint8_t>(must | choice));
      if (choice == 0)
        break;
    }
    level.orders_matter = kept_inside != 0;
    kept_inside |= must | may;
  }
}

void MapSpace::split_dimension(int d) {
  Split& split = splits_[d];
  std::int64_t rest = model_.problem().dims[d].bound;
  for (int s = 0; s < model_.levels(); ++s) {
    for (const bool temporal : {false, true}) {
      const Slot& slot = (temporal ? levels_[s].temporal : levels_[s].spatial).slot[d];
      if (slot.free)
        split.places.push_back(2 * s + (temporal ? 1 : 0));
      else
        rest /= slot.fixed;
    }
  }
  const auto slot_of = [&](std::size_t i) -> const Slot& {
    const int place = split.places[i];
    return (place % 2 != 0 ? levels_[place / 2].temporal : levels_[place / 2].spatial).slot[d];
  };
  // A spatial factor beyond the fan-out still is an element of the set, and rejected as such.
  const auto limit = [&](std::size_t i) {
    return split.places[i] % 2 != 0 ? slot_of(i).at_most : INT64_MAX;
  };
  std::vector<std::int64_t> factors;
  const auto fill = [&](const auto& self, std::int64_t left) -> void {
    if (factors.size() + 1 >= split.places.size()) {
      if (!split.places.empty() && left <= limit(factors.size())) {
        factors.push_back(left);
        split.factors.push_back(factors);
        factors.pop_back();
      }
      return;
    }
    for (const std::int64_t f : divisors(left)) {
      if (f > limit(factors.size()))
        break;
      factors.push_back(f);
      self(self, left / f);
      factors.pop_back();
    }
  };
  if (split.places.empty())
    split.factors.push_back({});
  else
    fill(fill, rest);
}

std::int64_t MapSpace::factorizations() const {
  std::int64_t product = 1;
  for (const Split& split : splits_)
    product = saturating_multiply(product, static_cast<std::int64_t>(split.factors.size()));
  return product;
}

std::vector<int> MapSpace::free_dims(int s) const {
  std::vector<int> dims;
  const Place& place = levels_[s].temporal;
  for (int d = 0; d < model_.dims(); ++d) {
    const bool pinned = std::ranges::find(place.inner, d) != place.inner.end() ||
                        std::ranges::find(place.outer, d) != place.outer.end();
    if (!pinned && place.slot[d].free)
      dims.push_back(d);
  }
  return dims;
}

std::int64_t MapSpace::permutations() const {
  std::int64_t product = 1;
  for (int s = 0; s < model_.levels(); ++s) {
    if (levels_[s].orders_matter)
      product = saturating_multiply(product, factorial(free_dims(s).size()));
  }
  return product;
}

std::int64_t MapSpace::keeps() const {
  std::int64_t product = 1;
  for (const Level& level : levels_)
    product = saturating_multiply(product, static_cast<std::int64_t>(level.keep_choices.size()));
  return product;
}

std::int64_t MapSpace::size() const {
  return saturating_multiply(saturating_multiply(factorizations(), permutations()), keeps());
}

Expected<cost::CompactNest, cost::Rejection> MapSpace::nest(std::int64_t index) const {
  const std::int64_t keep = index % keeps();
  index /= keeps();
  return nest(index / permutations(), index % permutations(), keep);
}

Expected<cost::CompactNest, cost::Rejection> MapSpace::nest(std::int64_t factorization,
                                                            std::int64_t permutation,
                                                            std::int64_t keep) const {
  std::array<std::array<std::int64_t, cost::kMaxDims>, 2 * cost::kMaxLevels> factors;
  for (int s = 0; s < model_.levels(); ++s) {
    for (int d = 0; d < model_.dims(); ++d) {
      factors[2 * s][d] = levels_[s].spatial.slot[d].fixed;
      factors[2 * s + 1][d] = levels_[s].temporal.slot[d].fixed;
    }
  }
  for (int d = 0; d < model_.dims(); ++d) {
    const auto count = static_cast<std::int64_t>(splits_[d].factors.size());
    const auto& choice = splits_[d].factors[static_cast<std::size_t>(factorization % count)];
    factorization /= count;
    for (std::size_t i = 0; i < choice.size(); ++i)
      factors[splits_[d].places[i]][d] = choice[i];
  }
  cost::CompactNest nest;
  nest.level_count = model_.levels();
  for (int s = 0; s < model_.levels(); ++s) {
    cost::CompactNest::Level& level = nest.levels[s];
    const auto choices = static_cast<std::int64_t>(levels_[s].keep_choices.size());
    level.keep = levels_[s].keep_choices[static_cast<std::size_t>(keep % choices)];
    keep /= choices;
    if (!lay_out(s, factors[2 * s], level)) {
      std::int64_t used = 1;
      for (int d = 0; d < model_.dims(); ++d)
        used = saturating_multiply(used, factors[2 * s][d]);
      return tl::unexpected(cost::Rejection{
          used < levels_[s].min_used ? cost::Rejection::Reason::kConstraint
                                     : cost::Rejection::Reason::kFanout,
          static_cast<std::uint8_t>(s), used,
          used < levels_[s].min_used ? levels_[s].min_used
                                     : model_.unit().fanout_x(s) * model_.unit().fanout_y(s)});
    }
    std::int64_t rank = 0;
    if (levels_[s].orders_matter) {
      const std::int64_t count = factorial(free_dims(s).size());
      rank = permutation % count;
      permutation /= count;
    }
    for (const int d : ranked_order(s, rank)) {
      if (factors[2 * s + 1][d] > 1)
        level.temporal.push(d, factors[2 * s + 1][d]);
    }
  }
  return nest;
}

// All dimensions, inner to outer, in the order number `rank` of those of a level's temporal loops.
std::vector<int> MapSpace::ranked_order(int s, std::int64_t rank) const {
  std::vector<int> middle = free_dims(s);
  for (std::size_t i = 0; i + 1 < middle.size(); ++i) {
    const std::int64_t block = factorial(middle.size() - 1 - i);
    const auto from = middle.begin() + static_cast<std::ptrdiff_t>(i);
    const auto pick = from + static_cast<std::ptrdiff_t>(rank / block);
    rank %= block;
    std::rotate(from, pick, pick + 1);
  }
  std::vector<int> order;
  const auto add = [&](int d) {
    if (std::ranges::find(order, d) == order.end())
      order.push_back(d);
  };
  const Place& place = levels_[s].temporal;
  std::ranges::for_each(place.inner, add);
  std::ranges::for_each(middle, add);
  // Fixed loops that no order names stand between.
  for (int d = 0; d < model_.dims(); ++d) {
    if (std::ranges::find(place.outer, d) == place.outer.end())
      add(d);
  }
  std::ranges::for_each(place.outer, add);
  return order;
}

bool MapSpace::lay_out(int s, const std::array<std::int64_t, cost::kMaxDims>& factors,
                       cost::CompactNest::Level& nest) const {
  nest.x.count = nest.y.count = 0;
  std::array<int, cost::kMaxDims> order;
  int count = 0;
  std::uint32_t placed = 0;
  std::int64_t used = 1;
  const auto add = [&](int d) {
    if ((placed >> d & 1U) == 0 && factors[d] > 1) {
      order[count++] = d;
      used = saturating_multiply(used, factors[d]);
    }
    placed |= 1U << d;
  };
  for (const int d : levels_[s].spatial.inner)
    add(d);
  for (int d = 0; d < model_.dims(); ++d)
    add(d);
  const std::int64_t x_room = model_.unit().fanout_x(s);
  const std::int64_t y_room = model_.unit().fanout_y(s);
  if (used < levels_[s].min_used || used > saturating_multiply(x_room, y_room))
    return false;
  for (std::uint32_t side = 0; side < 1U << count; ++side) {
    std::int64_t x = 1;
    std::int64_t y = 1;
    std::uint32_t x_dims = 0;
    for (int i = 0; i < count; ++i) {
      const bool on_x =
          levels_[s].x_dims ? (*levels_[s].x_dims >> order[i] & 1U) != 0 : (side >> i & 1U) == 0;
      (on_x ? x : y) *= factors[order[i]];
      x_dims |= on_x ? 1U << order[i] : 0U;
    }
    if (x <= x_room && y <= y_room) {
      for (int i = 0; i < count; ++i)
        ((x_dims >> order[i] & 1U) != 0 ? nest.x : nest.y).push(order[i], factors[order[i]]);
      return true;
    }
    if (levels_[s].x_dims)
      return false;
  }
  return false;
}

std::vector<std::vector<int>> MapSpace::orders(int s, std::uint32_t dims) const {
  const Place& place = levels_[s].temporal;
  std::vector<int> inner;
  std::vector<int> middle;
  std::vector<int> outer;
  std::uint32_t placed = 0;
  const auto take = [&](const std::vector<int>& from, std::vector<int>& to) {
    for (const int d : from) {
      if ((dims >> d & 1U) != 0 && (placed >> d & 1U) == 0)
        to.push_back(d);
      placed |= 1U << d;
    }
  };
  take(place.inner, inner);
  take(place.outer, outer);
  // Fixed loops that no order names stand outside the free ones.
  std::vector<int> fixed;
  for (int d = 0; d < model_.dims(); ++d) {
    if ((dims >> d & 1U) != 0 && (placed >> d & 1U) == 0)
      (place.slot[d].free ? middle : fixed).push_back(d);
  }
  outer.insert(outer.begin(), fixed.begin(), fixed.end());
  std::vector<std::vector<int>> result;
  do {
    std::vector<int> order = inner;
    order.insert(order.end(), middle.begin(), middle.end());
    order.insert(order.end(), outer.begin(), outer.end());
    result.push_back(std::move(order));
  } while (levels_[s].orders_matter && std::ranges::next_permutation(middle).found);
  return result;
}

}  // namespace tessera::search
