// SPDX-License-Identifier: Apache-2.0
// Hypervolumes and NSGA-II against pagmo2 (built only where libpagmo-dev is installed).
#include <algorithm>
#include <pagmo/algorithm.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>
#include <pagmo/problems/dtlz.hpp>
#include <pagmo/problems/zdt.hpp>
#include <pagmo/utils/hypervolume.hpp>

#include <gtest/gtest.h>

#include "tessera/search/nsga2.h"

#include "search/problems.h"

namespace tessera::search {
namespace {

using namespace testing;

TEST(PagmoOracle, HypervolumesAgree) {
  Rng rng(1);
  for (const std::size_t dimensions : {2u, 3u, 4u}) {
    for (int round = 0; round < 20; ++round) {
      std::vector<plan::Point> points(5 + rng.below(40), plan::Point(dimensions));
      for (plan::Point& point : points) {
        for (double& x : point)
          x = rng.uniform();
      }
      const plan::Point reference(dimensions, 1.05);
      const double theirs = pagmo::hypervolume(points, true).compute(reference);
      EXPECT_NEAR(plan::hypervolume(points, reference), theirs, 1e-12);
    }
  }
}

// Median hypervolume over seeds, population 100 and 150 generations each.
double our_median(const SearchSpace& space, const std::function<Evaluation(const Genome&)>& f,
                  const plan::Point& reference) {
  std::vector<double> volumes;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Nsga2 nsga2(space, {}, Rng(seed));
    search_for(nsga2, 151, f);
    std::vector<plan::Point> points;
    for (const Individual& individual : nsga2.population())
      points.push_back(individual.value.objectives);
    volumes.push_back(plan::hypervolume(points, reference));
  }
  std::sort(volumes.begin(), volumes.end());
  return volumes[2];
}

double pagmo_median(const pagmo::problem& problem, const plan::Point& reference) {
  std::vector<double> volumes;
  for (unsigned seed = 1; seed <= 5; ++seed) {
    pagmo::population population(problem, 100, seed);
    const double variables = static_cast<double>(problem.get_nx());
    // The rates and indices of Nsga2Options.
    population =
        pagmo::algorithm(pagmo::nsga2(150, 0.9, 15, 1 / variables, 20, seed)).evolve(population);
    volumes.push_back(plan::hypervolume(population.get_f(), reference));
  }
  std::sort(volumes.begin(), volumes.end());
  return volumes[2];
}

TEST(PagmoOracle, FrontsAreAsGoodAtEqualBudgets) {
  const plan::Point square(2, 1.1);
  const plan::Point cube(3, 1.1);
  EXPECT_GT(our_median(unit_cube(30), zdt1, square),
            0.995 * pagmo_median(pagmo::problem(pagmo::zdt(1, 30)), square));
  EXPECT_GT(our_median(unit_cube(30), zdt2, square),
            0.99 * pagmo_median(pagmo::problem(pagmo::zdt(2, 30)), square));
  EXPECT_GT(our_median(unit_cube(12), dtlz2, cube),
            0.98 * pagmo_median(pagmo::problem(pagmo::dtlz(2, 12, 3)), cube));
}

}  // namespace
}  // namespace tessera::search
