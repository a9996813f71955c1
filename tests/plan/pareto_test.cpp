// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/pareto.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"

namespace tessera::plan {
namespace {

// Coordinates 0..levels-1, so that equal values and equal points occur.
std::vector<Point> random_points(Rng& rng, std::size_t count, std::size_t dimensions,
                                 std::uint64_t levels) {
  std::vector<Point> points(count, Point(dimensions));
  for (Point& point : points) {
    for (double& x : point)
      x = static_cast<double>(rng.below(levels));
  }
  return points;
}

TEST(Pareto, Dominates) {
  const Point a{1, 2}, b{1, 3}, c{2, 1};
  EXPECT_TRUE(dominates(a, b));
  EXPECT_FALSE(dominates(b, a));
  EXPECT_FALSE(dominates(a, a));
  EXPECT_FALSE(dominates(a, c));
  EXPECT_FALSE(dominates(c, a));
}

TEST(Pareto, RanksEqualPeelingByHand) {
  const std::vector<Point> points = {{1, 5}, {2, 2}, {5, 1}, {3, 3}, {2, 2}, {6, 6}};
  EXPECT_EQ(pareto_ranks(points), (std::vector<int>{0, 0, 0, 1, 0, 2}));
  EXPECT_EQ(pareto_front(points), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_TRUE(pareto_ranks({}).empty());
  EXPECT_TRUE(pareto_front({}).empty());
}

TEST(Pareto, RanksAndFrontEqualBruteForce) {
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(5).split(static_cast<std::uint64_t>(trial));
    const auto points = random_points(rng, 1 + rng.below(25), 1 + rng.below(4), 6);

    std::vector<int> expected(points.size(), -1);
    for (int rank = 0; std::count(expected.begin(), expected.end(), -1) > 0; ++rank) {
      std::vector<std::size_t> peeled;
      for (std::size_t i = 0; i < points.size(); ++i) {
        bool free = expected[i] == -1;
        for (std::size_t j = 0; j < points.size() && free; ++j)
          free = expected[j] != -1 || !dominates(points[j], points[i]);
        if (free)
          peeled.push_back(i);
      }
      for (const std::size_t i : peeled)
        expected[i] = rank;
    }
    EXPECT_EQ(pareto_ranks(points), expected);

    std::vector<std::size_t> front;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const auto first = std::find(points.begin(), points.end(), points[i]) - points.begin();
      if (expected[i] == 0 && static_cast<std::size_t>(first) == i)
        front.push_back(i);
    }
    EXPECT_EQ(pareto_front(points), front);
  }
}

// Σ over non-empty subsets of (-1)^(size+1) · volume of the boxes' intersection.
double inclusion_exclusion(const std::vector<Point>& points, const Point& reference) {
  double sum = 0;
  for (std::size_t subset = 1; subset < (std::size_t{1} << points.size()); ++subset) {
    Point corner(reference.size(), -1e300);
    int size = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if ((subset >> i & 1) == 0)
        continue;
      ++size;
      for (std::size_t d = 0; d < corner.size(); ++d)
        corner[d] = std::max(corner[d], points[i][d]);
    }
    double volume = size % 2 == 1 ? 1 : -1;
    for (std::size_t d = 0; d < corner.size(); ++d)
      volume *= std::max(0.0, reference[d] - corner[d]);
    sum += volume;
  }
  return sum;
}

TEST(Hypervolume, EqualsInclusionExclusion) {
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(6).split(static_cast<std::uint64_t>(trial));
    const std::size_t dimensions = 1 + rng.below(5);
    const auto points = random_points(rng, rng.below(11), dimensions, 9);
    const Point reference(dimensions, 7);  // some points lie beyond
    // Integers: exact in double, so equal to the bit.
    EXPECT_EQ(hypervolume(points, reference), inclusion_exclusion(points, reference));
  }
}

TEST(Hypervolume, ByHand) {
  EXPECT_EQ(hypervolume(std::vector<Point>{{1, 3}, {2, 1}}, Point{4, 4}), 3 + 4);
  EXPECT_EQ(hypervolume(std::vector<Point>{{1, 1, 1}}, Point{2, 3, 4}), 1 * 2 * 3);
  EXPECT_EQ(hypervolume(std::vector<Point>{{4, 0}, {5, -1}}, Point{4, 4}), 0);
  EXPECT_EQ(hypervolume({}, Point{1, 1}), 0);
}

TEST(Hypervolume, OnePointMoreNeverShrinksIt) {
  Rng rng(7);
  const Point reference(3, 1.0);
  std::vector<Point> points;
  double before = 0;
  for (int i = 0; i < 60; ++i) {
    points.push_back({rng.uniform(), rng.uniform(), rng.uniform()});
    const double now = hypervolume(points, reference);
    EXPECT_GE(now, before * (1 - 1e-12));
    EXPECT_LE(now, 1);
    before = now;
  }
}

// A front on the sphere's octant, where no point is dominated: the hardest kind.
TEST(Hypervolume, HundredPointsInFiveDimensionsAreQuick) {
  Rng rng(8);
  std::vector<Point> points;
  for (int i = 0; i < 100; ++i) {
    Point point(5);
    double norm = 0;
    for (double& x : point) {
      x = std::abs(rng.normal());
      norm += x * x;
    }
    for (double& x : point)
      x = 1 - x / std::sqrt(norm);
    points.push_back(point);
  }
  const double volume = hypervolume(points, Point(5, 1.0));
  EXPECT_GT(volume, 0);
  // π²·8/15 / 2⁵ is the part of the ball in the octant.
  EXPECT_LT(volume, 0.1645);
}

TEST(Pareto, NotANumberIsABug) {
  const std::vector<Point> points = {{1, std::nan("")}, {1, 2}};
  EXPECT_THROW(pareto_ranks(points), InternalError);
  EXPECT_THROW(hypervolume(points, Point{3, 3}), InternalError);
  EXPECT_THROW(pareto_front(std::vector<Point>{{1, 2}, {1}}), InternalError);
}

}  // namespace
}  // namespace tessera::plan
