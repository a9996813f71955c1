// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "tessera/core/expected.h"

namespace tessera::search {

// One way to do one thing: what it loses, and what it takes of each budget. Any finite numbers.
struct KnapsackItem {
  double loss = 0;
  std::vector<double> costs;  // one for each budget
  bool operator==(const KnapsackItem&) const = default;
};

// Of each group exactly one item is to be taken, so that the loss is least and no budget is
// exceeded: layers and their formats under limits of memory, energy, accuracy.
struct Knapsack {
  std::vector<std::vector<KnapsackItem>> groups;
  std::vector<double> budgets;
};

struct KnapsackSolution {
  std::vector<int> choice;  // an index into each group
  double loss = 0;
  std::vector<double> costs;
  std::int64_t labels = 0;  // partial choices that were kept: the work it took
};

// The optimum, exactly: choices for the first g groups are extended group by group ("labels"); one
// goes when another costs no more and loses less, or when a Lagrangian bound shows that nothing
// better than a known solution can come of it (Lagrangian relaxation of budgets: Fisher, Management
// Science 27, 1981). Sums of loss and costs are taken in the groups' order. Among optima the first
// in lexicographic order of `choice`. Deterministic.
//
// "budget": no choice keeps the budgets; the detail gives those that even the cheapest items
// exceed. REQUIRES: no group empty, one cost for each budget, finite numbers, but for budgets,
// which may be infinite.
Expected<KnapsackSolution> solve_multiple_choice_knapsack(const Knapsack& knapsack);

}  // namespace tessera::search
