// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tessera/search/mapper.h"

namespace tessera::search {

struct NestTableEntry {
  cost::NestSummary summary{};
  double gap = 0;
  bool complete = true;   // false: a deadline or a stop token cut the search short
  std::string mapping{};  // the nest in Timeloop's form; empty: no nest runs
  bool operator==(const NestTableEntry&) const = default;
};

// Best nests of many layers at many widths, each found once: layers that are the same problem share
// an entry, and so do widths that pack alike (of 2 to 8 bits in 16-bit words, 125 classes for three
// tensors). Entries are kept under a hash of all that they depend on: problem, unit, packing and
// objective; so a file of them serves as a cache for any search.
class NestTable {
 public:
  // The table answers for one unit and one way to search; its deadline counts for each fill().
  NestTable(hw::SpatialUnit unit, NestSearchOptions options);

  // Finds what is missing for every problem at every widths (in the order of each problem's
  // tensors); distinct problems in parallel. The nests of one problem serve as hints for its next
  // class, so entries are the same for any number of threads as long as the calls are. A later
  // call tries incomplete entries again.
  void fill(std::span<const ir::LoopProblem> problems, std::span<const cost::Bits> widths);

  // Null when fill() has not seen it.
  const NestTableEntry* find(const ir::LoopProblem& problem, const cost::Bits& widths) const;
  std::size_t size() const { return entries_.size(); }

  // JSON, complete entries alone. read() adds the file's entries; ConfigError when it is not such a
  // file.
  void write(const std::filesystem::path& path) const;
  void read(const std::filesystem::path& path);

 private:
  std::string key(const cost::LoopNestModel& model, const cost::Pricing& pricing) const;
  std::map<std::string, NestTableEntry> find_all(const cost::LoopNestModel& model,
                                                 std::span<const cost::Bits> widths) const;

  hw::SpatialUnit unit_;
  NestSearchOptions options_;
  std::map<std::string, NestTableEntry> entries_;
};

}  // namespace tessera::search
