// SPDX-License-Identifier: Apache-2.0
// Time of NSGA-II itself on one core, 10,000 generations of 100 on analytic problems, as CSV:
//
//   build/bench/bench/search/search_speed
#include <fmt/format.h>

#include <chrono>

#include "tessera/search/nsga2.h"

#include "search/problems.h"

namespace {

using namespace tessera;
using namespace tessera::search;

void time_problem(const std::string& name, const SearchSpace& space,
                  const std::function<Evaluation(const Genome&)>& evaluate,
                  const plan::Point& reference) {
  constexpr int kGenerations = 10'000;
  const auto start = std::chrono::steady_clock::now();
  Nsga2 nsga2(space, {}, Rng(1));
  search::testing::search_for(nsga2, kGenerations, evaluate);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::vector<plan::Point> points;
  for (const Individual& individual : nsga2.population())
    points.push_back(individual.value.objectives);
  fmt::print("{},{},{},{},{:.1f},{:.6f}\n", name, space.variables.size(), kGenerations,
             points.size(), seconds.count(), plan::hypervolume(points, reference));
}

}  // namespace

int main() {
  using namespace tessera::search::testing;
  fmt::print("problem,variables,generations,population,seconds,hypervolume\n");
  time_problem("ZDT1", unit_cube(30), zdt1, {1.1, 1.1});
  time_problem("DTLZ2", unit_cube(12), dtlz2, {1.1, 1.1, 1.1});
  return 0;
}
