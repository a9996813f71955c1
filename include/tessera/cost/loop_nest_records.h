// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/cost/loop_nest.h"

namespace tessera::cost {

// What another program computed for one loop nest: JSON lines, `"record": 1`, in which a line holds
// the problem, the machine's sizes, the nest, and every count, cycle and energy
// (docs/loopnest_model.md describes the form).
struct NestRecord {
  std::string id;
  std::string layer;
  std::string architecture;
  ir::LoopProblem problem;
  hw::SpatialUnit unit;  // energies 0 where neither the record nor a preset has them
  plan::LoopNest nest;
  Bits bits;
  OutputFills fills = OutputFills::kCurrent;
  std::int64_t cycles = 0;
  std::optional<double> energy_pj;
  bool has_energies = false;  // of single accesses, so that energies can be compared
  // Of each level, inner to outer; NestTraffic::energy_pj is that of one instance here.
  std::vector<plan::NestLevelCost> levels;
};

// Finds the preset of an architecture's name; null when there is none.
using FindUnit = std::function<const hw::SpatialUnit*(const std::string&)>;

// Reads all records of a file, compressed or not. Throws IoError, or ConfigError with file and
// line.
std::vector<NestRecord> read_nest_records(const std::filesystem::path& path,
                                          const FindUnit& find_unit);

// Evaluates the record's nest and compares: counts, capacities and cycles exactly, energies to 1e-9
// relative. The first difference in words; empty: all agree.
std::string compare_with_record(const NestRecord& record);

}  // namespace tessera::cost
