// SPDX-License-Identifier: Apache-2.0
#pragma once

// Energy and time of loop nests on a spatial unit: Timeloop's model for dense problems and perfect
// factors, with a width for each tensor. docs/loopnest_model.md has the formulas (L1, L2, …).
//
// Evaluation has three steps, so that a search over widths pays for each only as often as it must:
// count() once for each nest, a Pricing once for each choice of widths, price() for each pair.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/hw/spatial.h"
#include "tessera/ir/loop_problem.h"
#include "tessera/plan/loop_nest.h"

namespace tessera::cost {

// Limits of the fixed arrays; a model of anything larger is refused by its constructor.
inline constexpr int kMaxDims = 10;
inline constexpr int kMaxLevels = 12;
inline constexpr int kMaxTensors = 4;
inline constexpr int kMaxAxes = 5;

// Non-unit loops of one kind at one level, inner to outer.
struct LoopBlock {
  std::uint8_t count = 0;
  std::array<std::uint8_t, kMaxDims> dim;
  std::array<std::int32_t, kMaxDims> bound;

  void push(int dim_index, std::int64_t loop_bound) {
    dim[count] = static_cast<std::uint8_t>(dim_index);
    bound[count++] = static_cast<std::int32_t>(loop_bound);
  }
};

// plan::LoopNest for a given model, without names and allocations.
struct CompactNest {
  struct Level {
    LoopBlock x;
    LoopBlock y;
    LoopBlock temporal;
    std::uint8_t keep = 0;  // bit t: tensor t is kept
  };
  int level_count = 0;
  std::array<Level, kMaxLevels> levels;
};

// Widths in bits, one for each tensor of the problem; 0: one word each at every level.
struct Bits {
  std::array<int, kMaxTensors> tensor{};
  // Of read-write tensors at every level but the outermost that keeps them; 0: as the tensor.
  int partial_sums = 0;
  bool operator==(const Bits&) const = default;
};

// Why a nest does not run. Kept small, since a search meets millions of them.
struct Rejection {
  enum class Reason : std::uint8_t { kFanout, kCapacity, kConstraint };
  Reason reason = Reason::kFanout;
  std::uint8_t level = 0;
  std::int64_t needed = 0;
  std::int64_t available = 0;
};

// Values moved at one level for one tensor, of one instance: independent of widths.
struct TensorCounts {
  std::int64_t tile = 0;
  std::int64_t partition = 0;
  std::int64_t reads = 0;
  std::int64_t fills = 0;
  std::int64_t updates = 0;
  std::int64_t reductions = 0;
};

struct NestCounts {
  std::int64_t iterations = 0;  // of the temporal loops
  std::int64_t mac_instances = 1;
  std::array<std::uint8_t, kMaxLevels> keep{};
  std::array<std::int64_t, kMaxLevels> instances{};
  std::array<std::array<TensorCounts, kMaxTensors>, kMaxLevels> at;
};

// What a search compares.
struct NestSummary {
  double energy_pj = 0;
  std::int64_t cycles = 0;
  double last_level_accesses = 0;
  double edp() const { return energy_pj * static_cast<double>(cycles); }
  bool operator==(const NestSummary&) const = default;
};

// Timeloop before autumn 2023 filled an output's buffer with what it had never held before.
enum class OutputFills { kCurrent, k2023 };

class LoopNestModel;

// Everything about widths that a price needs, at hand.
class Pricing {
 public:
  Pricing(const LoopNestModel& model, const Bits& bits);

  std::int64_t values_per_word(int level, int tensor, bool outermost_kept) const {
    return outermost_kept ? outer_ops_[level][tensor] : inner_ops_[level][tensor];
  }
  double mac_pj() const { return mac_pj_; }
  std::int64_t macs_per_cycle() const { return macs_per_cycle_; }
  // Two choices of widths with equal keys cost the same everywhere.
  std::string key() const;

 private:
  using Table = std::array<std::array<std::int64_t, kMaxTensors>, kMaxLevels>;
  int level_count_;
  int tensor_count_;
  Table inner_ops_{};
  Table outer_ops_{};
  double mac_pj_;
  std::int64_t macs_per_cycle_;
};

// Thread-safe after construction; all results are functions of the arguments alone.
class LoopNestModel {
 public:
  // UnsupportedError when the problem or unit exceeds the limits above.
  LoopNestModel(ir::LoopProblem problem, hw::SpatialUnit unit);

  const ir::LoopProblem& problem() const { return problem_; }
  const hw::SpatialUnit& unit() const { return unit_; }
  int dims() const { return static_cast<int>(problem_.dims.size()); }
  int tensors() const { return static_cast<int>(problem_.tensors.size()); }
  int levels() const { return static_cast<int>(unit_.levels.size()); }

  // Names for parse_loop_nest(); a level keeps what its constraints do not bypass.
  plan::NestNames nest_names() const;
  // Throws ConfigError where the nest names levels, dimensions or tensors that do not exist, or its
  // factors do not multiply up to the problem's bounds.
  CompactNest compile(const plan::LoopNest& nest) const;
  plan::LoopNest decompile(const CompactNest& nest) const;

  // Widths must lie within every level's word. Throws UsageError otherwise.
  Pricing pricing(const Bits& bits) const;

  // "fanout": spatial loops exceed the mesh between two levels.
  std::optional<Rejection> check_fanout(const CompactNest& nest) const;
  // REQUIRES: compiled for this model. Closed form; where link transfers can fire, the recursion.
  void count(const CompactNest& nest, NestCounts& counts,
             OutputFills fills = OutputFills::kCurrent) const;
  // "capacity": the tiles exceed a level.
  std::optional<Rejection> check_capacity(const NestCounts& counts, const Pricing& pricing) const;
  NestSummary price(const NestCounts& counts, const Pricing& pricing) const;

  // check_fanout(), count(), check_capacity() and price() in one.
  Expected<NestSummary, Rejection> evaluate(const CompactNest& nest, const Pricing& pricing) const;
  // The same with its whole breakdown and reasons in words.
  Expected<plan::LoopNestCost> cost(const plan::LoopNest& nest, const Bits& bits,
                                    OutputFills fills = OutputFills::kCurrent) const;
  Infeasible explain(const Rejection& rejection) const;

  // ---- Tables, for searches -------------------------------------------------------------------

  // Coefficient of dimension `dim` on axis `axis` of tensor `tensor`.
  std::int64_t coefficient(int tensor, int axis, int dim) const {
    return tables_[tensor].coefficient[axis][dim];
  }
  int axes(int tensor) const { return tables_[tensor].axes; }
  // Bit `dim` is set when the tensor depends on the dimension and that has more than one step.
  std::uint32_t relevant(int tensor) const { return tables_[tensor].relevant; }
  // No axis sums two dimensions and none stands on two axes: tiles never overlap.
  bool is_simple(int tensor) const { return tables_[tensor].sliding == 0; }
  // Bit `dim` is set when the dimension shares an axis with another, or two axes.
  std::uint32_t sliding(int tensor) const { return tables_[tensor].sliding; }
  bool read_write(int tensor) const { return problem_.tensors[tensor].read_write; }
  // Values in the box that the extents of all dimensions span; saturates.
  std::int64_t volume(int tensor, const std::int64_t* extents) const;

 private:
  struct TensorTable {
    int axes = 0;
    std::uint32_t relevant = 0;
    std::uint32_t sliding = 0;
    std::array<std::array<std::int64_t, kMaxDims>, kMaxAxes> coefficient{};
  };

  plan::LoopNestCost breakdown(const NestCounts& counts, const Pricing& pricing) const;
  // Without leakage, which depends on all levels' cycles.
  plan::NestLevelCost level_breakdown(int level, const NestCounts& counts,
                                      const Pricing& pricing) const;

  ir::LoopProblem problem_;
  hw::SpatialUnit unit_;
  std::array<TensorTable, kMaxTensors> tables_;
  std::int64_t macs_ = 0;
};

}  // namespace tessera::cost
