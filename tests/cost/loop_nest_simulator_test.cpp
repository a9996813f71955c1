// SPDX-License-Identifier: Apache-2.0
// An independent check: runs the loops of small problems step by step, holds every tile as a set of
// positions, and counts what moves. It shares no code with the model.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tessera/core/rng.h"
#include "tessera/cost/loop_nest.h"

namespace tessera::cost {
namespace {

using Values = std::set<std::vector<std::int64_t>>;

struct Loop {
  int dim = 0;
  std::int64_t bound = 1;
  std::int64_t step = 1;
  int level = 0;
  bool spatial = false;
  std::int64_t now = 0;
};

struct Moved {
  std::int64_t fills = 0;    // into one instance
  std::int64_t content = 0;  // handed out (or taken in) by one instance
  Values touched;            // by one instance, over the whole run
};

class Simulator {
 public:
  Simulator(const LoopNestModel& model, const plan::LoopNest& nest) : model_(model) {
    std::map<std::string, std::int64_t> covered;
    for (std::size_t s = 0; s < nest.levels.size(); ++s) {
      const auto add = [&](const std::vector<plan::NestLoop>& loops, bool spatial) {
        for (const plan::NestLoop& loop : loops) {
          std::int64_t& inside = covered.emplace(loop.dim, 1).first->second;
          loops_.push_back({model.problem().find_dim(loop.dim), loop.bound, inside,
                            static_cast<int>(s), spatial});
          inside *= loop.bound;
        }
      };
      add(nest.levels[s].spatial_x, true);
      add(nest.levels[s].spatial_y, true);
      add(nest.levels[s].temporal, false);
    }
  }

  // Moves of tensor `t` between level `child` (-1: the MACs) and level `parent`.
  Moved run(int t, int child, int parent) {
    Moved moved;
    std::map<std::vector<std::int64_t>, Values> before;  // by instance of `child`
    reset();
    do {
      std::map<std::vector<std::int64_t>, std::set<Values>> served;  // by instance of `parent`
      std::vector<Loop*> places;
      for (Loop& loop : loops_) {
        if (loop.spatial && loop.level > child)
          places.push_back(&loop);
      }
      for_each_place(places, [&] {
        const auto instance = place_of(child);
        const Values tile = values(t, child);
        Values fresh;
        for (const auto& value : tile) {
          if (child < 0 || !before[instance].contains(value))
            fresh.insert(value);
        }
        before[instance] = tile;
        if (is_first(instance)) {
          moved.fills += static_cast<std::int64_t>(fresh.size());
          moved.touched.insert(fresh.begin(), fresh.end());
        }
        if (!fresh.empty())
          served[place_of(parent)].insert(fresh);
      });
      for (const auto& [instance, pieces] : served) {
        if (!is_first(instance))
          continue;
        for (const Values& piece : pieces)
          moved.content += static_cast<std::int64_t>(piece.size());
      }
    } while (next_tick());
    return moved;
  }

 private:
  void reset() {
    for (Loop& loop : loops_)
      loop.now = 0;
  }
  bool next_tick() {
    for (Loop& loop : loops_) {
      if (loop.spatial)
        continue;
      if (++loop.now < loop.bound)
        return true;
      loop.now = 0;
    }
    return false;
  }
  template <typename F>
  void for_each_place(std::vector<Loop*> places, const F& visit) {
    if (places.empty()) {
      visit();
      return;
    }
    Loop* loop = places.back();
    places.pop_back();
    for (loop->now = 0; loop->now < loop->bound; ++loop->now)
      for_each_place(places, visit);
    loop->now = 0;
  }
  // Which instance of a level: the spatial loops further out.
  std::vector<std::int64_t> place_of(int level) const {
    std::vector<std::int64_t> place;
    for (const Loop& loop : loops_) {
      if (loop.spatial && loop.level > level)
        place.push_back(loop.now);
    }
    return place;
  }
  static bool is_first(const std::vector<std::int64_t>& place) {
    return std::ranges::all_of(place, [](std::int64_t i) { return i == 0; });
  }
  // The box that a level holds at this tick.
  Values values(int t, int level) const {
    Values result{{}};
    for (const auto& axis : model_.problem().tensors[t].axes) {
      std::int64_t low = 0;
      std::int64_t extent = 1;
      for (const ir::ProjectionTerm& term : axis) {
        std::int64_t size = 1;
        for (const Loop& loop : loops_) {
          if (loop.dim != term.dim)
            continue;
          if (loop.level <= level)
            size *= loop.bound;
          else
            low += term.coefficient * loop.now * loop.step;
        }
        extent += (size - 1) * term.coefficient;
      }
      Values longer;
      for (const auto& position : result) {
        for (std::int64_t i = 0; i < extent; ++i) {
          auto next = position;
          next.push_back(low + i);
          longer.insert(std::move(next));
        }
      }
      result = std::move(longer);
    }
    return result;
  }

  const LoopNestModel& model_;
  std::vector<Loop> loops_;  // inner to outer
};

hw::SpatialUnit three_levels() {
  hw::SpatialUnit unit;
  const std::int64_t mesh[] = {8, 2, 1};
  for (int s = 0; s < 3; ++s) {
    hw::StorageLevel level;
    level.name = "L" + std::to_string(s);
    level.mesh_x = mesh[s];
    level.instances = mesh[s];
    unit.levels.push_back(level);
  }
  unit.mac.mesh_x = unit.mac.instances = 16;
  return unit;
}

// A random nest: each prime factor of each dimension somewhere, loops in random order.
plan::LoopNest random_nest(const LoopNestModel& model, Rng& rng, bool spatial_windows) {
  plan::LoopNest nest = model.decompile([&] {
    CompactNest empty;
    empty.level_count = model.levels();
    return empty;
  }());
  for (plan::NestLevel& level : nest.levels)
    level.keep = nest.tensors;
  // A middle level may let a tensor pass.
  for (int s = 0; s < 2; ++s) {
    if (rng.below(3) == 0)
      nest.levels[s].keep.erase(nest.levels[s].keep.begin() + static_cast<int>(rng.below(3)));
  }
  for (const ir::LoopDim& dim : model.problem().dims) {
    std::int64_t rest = dim.bound;
    for (std::int64_t prime = 2; rest > 1;) {
      if (rest % prime != 0) {
        ++prime;
        continue;
      }
      rest /= prime;
      const std::size_t s = rng.below(3);
      const bool window = dim.name == "P" || dim.name == "R";
      auto& level = nest.levels[s];
      std::int64_t used = prime;
      for (const plan::NestLoop& loop : level.spatial_x)
        used *= loop.bound;
      const bool fits = used <= model.unit().fanout_x(static_cast<int>(s));
      auto& loops = fits && (spatial_windows || !window) && rng.below(2) == 0 ? level.spatial_x
                                                                              : level.temporal;
      const auto same = std::ranges::find(loops, dim.name, &plan::NestLoop::dim);
      if (same != loops.end())
        same->bound *= prime;
      else
        loops.push_back({dim.name, prime});
    }
  }
  for (plan::NestLevel& level : nest.levels)
    rng.shuffle(std::span(level.temporal));
  return nest;
}

void compare(const LoopNestModel& model, const plan::LoopNest& nest) {
  NestCounts counts;
  const CompactNest compact = model.compile(nest);
  model.count(compact, counts);
  Simulator simulator(model, nest);
  for (int t = 0; t < model.tensors(); ++t) {
    const bool exact = model.is_simple(t);
    int child = -1;
    for (int s = 0; s < model.levels(); ++s) {
      if ((compact.levels[s].keep >> t & 1U) == 0)
        continue;
      const Moved moved = simulator.run(t, child, s);
      const TensorCounts& at = counts.at[s][t];
      const auto where = model.problem().tensors[t].name + " at " + nest.levels[s].name + "\n" +
                         plan::to_text(nest);
      const std::int64_t content = model.read_write(t) ? at.updates : at.reads;
      if (exact)
        EXPECT_EQ(content, moved.content) << where;
      else  // the model forgets a window's overlap now and then, and never invents one
        EXPECT_GE(content, moved.content) << where;
      if (child >= 0) {
        const TensorCounts& below = counts.at[child][t];
        const auto first = static_cast<std::int64_t>(moved.touched.size());
        const std::int64_t fills = model.read_write(t) ? below.fills + first : below.fills;
        if (exact)
          EXPECT_EQ(fills, moved.fills) << where;
        else
          EXPECT_GE(fills, moved.fills) << where;
      }
      child = s;
    }
  }
}

TEST(LoopNestSimulator, RandomMatrixProducts) {
  const LoopNestModel model(ir::gemm_problem(6, 8, 4), three_levels());
  Rng rng = Rng(7).split("gemm");
  for (int i = 0; i < 60; ++i)
    compare(model, random_nest(model, rng, true));
}

TEST(LoopNestSimulator, RandomConvolutions) {
  const LoopNestModel model(ir::conv_problem({.c = 2, .m = 4, .r = 3, .p = 4, .row_stride = 2}),
                            three_levels());
  Rng rng = Rng(7).split("conv");
  for (int i = 0; i < 60; ++i)
    compare(model, random_nest(model, rng, false));
}

TEST(LoopNestSimulator, RandomGroupedConvolutions) {
  const LoopNestModel model(ir::conv_problem({.c = 2, .m = 2, .r = 2, .p = 4, .g = 3}),
                            three_levels());
  Rng rng = Rng(7).split("grouped");
  for (int i = 0; i < 40; ++i)
    compare(model, random_nest(model, rng, false));
}

// Where one window slides and nothing else moves, the overlap is exact.
TEST(LoopNestSimulator, OneSlidingWindowIsExact) {
  const LoopNestModel model(ir::conv_problem({.r = 3, .p = 8}), three_levels());
  plan::LoopNest nest{{}, model.problem().tensor_names(), {}};
  nest.dims = model.problem().dim_names();
  nest.levels = {{"L0", nest.tensors, {}, {}, {{"R", 3}, {"P", 2}}},
                 {"L1", nest.tensors, {}, {}, {{"P", 4}}},
                 {"L2", nest.tensors, {}, {}, {}}};
  NestCounts counts;
  model.count(model.compile(nest), counts);
  const int inputs = model.problem().find_tensor("Inputs");
  EXPECT_EQ(counts.at[0][inputs].fills, 10);  // by hand: 4 + 3 · 2
  EXPECT_EQ(Simulator(model, nest).run(inputs, 0, 1).fills, 10);
}

}  // namespace
}  // namespace tessera::cost
