// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <map>

#include "tessera/core/error.h"
#include "tessera/core/saturate.h"
#include "tessera/core/text.h"
#include "tessera/cost/loop_nest.h"

namespace tessera::cost {
namespace {

void check_limit(std::string_view what, std::size_t found, int limit) {
  if (found > static_cast<std::size_t>(limit))
    throw UnsupportedError(fmt::format("{} {}; supported: up to {}", found, what, limit));
}

}  // namespace

LoopNestModel::LoopNestModel(ir::LoopProblem problem, hw::SpatialUnit unit)
    : problem_(std::move(problem)), unit_(std::move(unit)), macs_(problem_.macs()) {
  check_limit("dimensions", problem_.dims.size(), kMaxDims);
  check_limit("tensors", problem_.tensors.size(), kMaxTensors);
  check_limit("storage levels", unit_.levels.size(), kMaxLevels);
  TESSERA_CHECK(!unit_.levels.empty() && !problem_.tensors.empty(), "nothing to model");
  for (const ir::LoopDim& dim : problem_.dims) {
    if (dim.bound > INT32_MAX)
      throw UnsupportedError(fmt::format("dimension {} has {} steps; supported: up to {}", dim.name,
                                         dim.bound, INT32_MAX));
  }
  for (int t = 0; t < tensors(); ++t) {
    const ir::LoopTensor& tensor = problem_.tensors[t];
    check_limit(fmt::format("axes of tensor {}", tensor.name), tensor.axes.size(), kMaxAxes);
    TensorTable& table = tables_[t];
    table.axes = static_cast<int>(tensor.axes.size());
    for (int axis = 0; axis < table.axes; ++axis) {
      std::uint32_t moving = 0;  // dimensions with more than one step
      for (const ir::ProjectionTerm& term : tensor.axes[axis]) {
        const std::uint32_t bit = 1U << term.dim;
        if (problem_.dims[term.dim].bound > 1)
          moving |= bit;
        table.coefficient[axis][term.dim] += term.coefficient;
        check_limit(fmt::format("as a coefficient of {}", problem_.dims[term.dim].name),
                    static_cast<std::size_t>(term.coefficient), 1 << 24);
      }
      // Windows slide where an axis sums dimensions; axes that share one depend on each other.
      if (std::popcount(moving) > 1)
        table.sliding |= moving;
      table.sliding |= (table.relevant & moving) != 0 ? table.relevant | moving : 0;
      table.relevant |= moving;
    }
  }
}

std::int64_t LoopNestModel::volume(int tensor, const std::int64_t* extents) const {
  const ir::LoopTensor& description = problem_.tensors[tensor];
  std::int64_t product = 1;
  for (const auto& axis : description.axes) {
    std::int64_t extent = 1;
    for (const ir::ProjectionTerm& term : axis)
      extent += (extents[term.dim] - 1) * term.coefficient;
    product = saturating_multiply(product, extent);
  }
  return product;
}

plan::NestNames LoopNestModel::nest_names() const {
  plan::NestNames names;
  names.dims = problem_.dim_names();
  for (const ir::LoopDim& dim : problem_.dims)
    names.bounds.push_back(dim.bound);
  names.tensors = problem_.tensor_names();
  names.levels = unit_.level_names();
  for (const hw::StorageLevel& level : unit_.levels) {
    std::vector<std::string> kept;
    for (const std::string& tensor : names.tensors) {
      if (!level.keeps_nothing && std::ranges::find(level.bypass, tensor) == level.bypass.end())
        kept.push_back(tensor);
    }
    names.keep.push_back(std::move(kept));
  }
  return names;
}

CompactNest LoopNestModel::compile(const plan::LoopNest& nest) const {
  CompactNest compact;
  compact.level_count = levels();
  std::vector<std::int64_t> product(problem_.dims.size(), 1);
  const auto push = [&](const std::vector<plan::NestLoop>& loops, LoopBlock& block) {
    for (const plan::NestLoop& loop : loops) {
      const int dim = problem_.find_dim(loop.dim);
      if (dim < 0)
        throw ConfigError("loop nest: " +
                          unknown_name("dimension", loop.dim, problem_.dim_names()));
      if (loop.bound < 1 || loop.bound > INT32_MAX)
        throw ConfigError(fmt::format("loop nest: {} has {} steps; allowed: 1 to {}", loop.dim,
                                      loop.bound, INT32_MAX));
      for (int i = 0; i < block.count; ++i) {
        if (block.dim[i] == dim)
          throw ConfigError(
              fmt::format("loop nest: dimension {} stands twice in one block", loop.dim));
      }
      product[dim] = saturating_multiply(product[dim], loop.bound);
      if (loop.bound > 1)
        block.push(dim, loop.bound);
    }
  };
  for (const plan::NestLevel& level : nest.levels) {
    const int s = unit_.find_level(level.name);
    if (s < 0)
      throw ConfigError("loop nest: " + unknown_name("level", level.name, unit_.level_names()));
    push(level.spatial_x, compact.levels[s].x);
    push(level.spatial_y, compact.levels[s].y);
    push(level.temporal, compact.levels[s].temporal);
    for (const std::string& name : level.keep) {
      const int t = problem_.find_tensor(name);
      if (t < 0)
        throw ConfigError("loop nest: " + unknown_name("tensor", name, problem_.tensor_names()));
      compact.levels[s].keep |= static_cast<std::uint8_t>(1U << t);
    }
  }
  for (int d = 0; d < dims(); ++d) {
    if (product[d] != problem_.dims[d].bound)
      throw ConfigError(fmt::format("loop nest: the loops over {} multiply to {}, not to {}",
                                    problem_.dims[d].name, product[d], problem_.dims[d].bound));
  }
  return compact;
}

plan::LoopNest LoopNestModel::decompile(const CompactNest& compact) const {
  plan::LoopNest nest;
  nest.dims = problem_.dim_names();
  nest.tensors = problem_.tensor_names();
  const auto loops = [&](const LoopBlock& block) {
    std::vector<plan::NestLoop> result;
    for (int i = 0; i < block.count; ++i)
      result.push_back({problem_.dims[block.dim[i]].name, block.bound[i]});
    return result;
  };
  for (int s = 0; s < levels(); ++s) {
    const CompactNest::Level& level = compact.levels[s];
    plan::NestLevel out{.name = unit_.levels[s].name,
                        .keep = {},
                        .spatial_x = loops(level.x),
                        .spatial_y = loops(level.y),
                        .temporal = loops(level.temporal)};
    for (int t = 0; t < tensors(); ++t) {
      if ((level.keep >> t & 1U) != 0)
        out.keep.push_back(problem_.tensors[t].name);
    }
    nest.levels.push_back(std::move(out));
  }
  return nest;
}

std::optional<Rejection> LoopNestModel::check_fanout(const CompactNest& nest) const {
  for (int s = 0; s < nest.level_count; ++s) {
    const auto over = [&](const LoopBlock& block,
                          std::int64_t available) -> std::optional<Rejection> {
      std::int64_t used = 1;
      for (int i = 0; i < block.count; ++i)
        used = saturating_multiply(used, block.bound[i]);
      if (used <= available)
        return std::nullopt;
      return Rejection{Rejection::Reason::kFanout, static_cast<std::uint8_t>(s), used, available};
    };
    if (const auto x = over(nest.levels[s].x, unit_.fanout_x(s)))
      return x;
    if (const auto y = over(nest.levels[s].y, unit_.fanout_y(s)))
      return y;
  }
  return std::nullopt;
}

Infeasible LoopNestModel::explain(const Rejection& rejection) const {
  const std::string& level = unit_.levels[rejection.level].name;
  switch (rejection.reason) {
    case Rejection::Reason::kFanout:
      return {"fanout", fmt::format("spatial loops at {} want {} instances in a row, {} are there",
                                    level, rejection.needed, rejection.available)};
    case Rejection::Reason::kCapacity:
      return {"capacity", fmt::format("tiles at {} take {} words, {} are there ({} too many)",
                                      level, rejection.needed, rejection.available,
                                      rejection.needed - rejection.available)};
    case Rejection::Reason::kConstraint:
      return {"constraint", fmt::format("loops at {} break its constraints (found {}, allowed {})",
                                        level, rejection.needed, rejection.available)};
  }
  TESSERA_CHECK(false, "reason {}", static_cast<int>(rejection.reason));
}

}  // namespace tessera::cost
