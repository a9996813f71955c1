// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>

#include "path_table.h"

namespace tessera::cost {

namespace {

// What layers take from one unit's tiles or one memory, in order.
class Budget {
 public:
  explicit Budget(double capacity) : capacity_(capacity) {}

  // A layer that does not fit leaves its room to those after it.
  void take(double amount, std::string_view layer) {
    wanted_ += amount;
    if (used_ + amount <= capacity_)
      used_ += amount;
    else
      refused_ += fmt::format("{}{} ({})", refused_.empty() ? "" : ", ", layer, amount);
  }
  std::string explain(std::string_view owner, std::string_view what) const {
    return fmt::format("{} has {} {}, the mapping needs {}; no room for {}", owner, capacity_, what,
                       wanted_, refused_);
  }

 private:
  double capacity_;
  double used_ = 0;
  double wanted_ = 0;
  std::string refused_;
};

template <typename Amount>
Budget fill(double capacity, const ir::Workload& workload, std::span<const PathTable* const> choice,
            const Amount& amount) {
  Budget budget(capacity);
  for (std::size_t i = 0; i < choice.size(); ++i) {
    for (const PartTable& part : choice[i]->parts) {
      if (const double taken = amount(part); taken > 0)
        budget.take(taken, workload.layers[i].name);
    }
  }
  return budget;
}

}  // namespace

std::optional<Infeasible> check_budgets(const Chip& chip, const ir::Workload& workload,
                                        std::span<const PathTable* const> choice) {
  const hw::Platform& platform = chip.platform();
  std::vector<double> tiles(chip.unit_count(), 0);
  std::vector<double> bytes(platform.memories.size(), 0);
  for (const PathTable* table : choice) {
    for (const PartTable& part : table->parts) {
      if (const int memory = chip.weight_memory_index(part.unit); memory >= 0)
        bytes[static_cast<std::size_t>(memory)] += static_cast<double>(part.stored_bytes);
      else
        tiles[static_cast<std::size_t>(part.unit)] += static_cast<double>(part.tiles);
    }
  }
  // Searches meet mappings that fit far more often: only the others pay for an explanation.
  for (std::size_t u = 0; u < tiles.size(); ++u) {
    const auto* unit = std::get_if<hw::AnalogUnit>(&platform.units[u]);
    if (!unit || tiles[u] <= static_cast<double>(unit->tiles))
      continue;
    const Budget budget =
        fill(static_cast<double>(unit->tiles), workload, choice, [&](const PartTable& part) {
          const bool here = part.unit == static_cast<int>(u);
          return here ? static_cast<double>(part.tiles) : 0.0;
        });
    return Infeasible{"tiles", budget.explain("unit " + unit->name, "tiles")};
  }
  for (std::size_t m = 0; m < bytes.size(); ++m) {
    const hw::Memory& memory = platform.memories[m];
    if (bytes[m] <= memory.capacity_bytes.value)
      continue;
    const Budget budget =
        fill(memory.capacity_bytes.value, workload, choice, [&](const PartTable& part) {
          const bool here = chip.weight_memory_index(part.unit) == static_cast<int>(m);
          return here ? static_cast<double>(part.stored_bytes) : 0.0;
        });
    return Infeasible{"memory", budget.explain("memory " + memory.name, "bytes")};
  }
  return std::nullopt;
}

}  // namespace tessera::cost
