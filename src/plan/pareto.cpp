// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/pareto.h"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.h"

namespace tessera::plan {

namespace {

void check_points(std::span<const Point> points, std::size_t dimensions) {
  for (const Point& point : points) {
    TESSERA_CHECK(point.size() == dimensions, "a point of {} objectives among those of {}",
                  point.size(), dimensions);
    for (const double x : point)
      TESSERA_CHECK(!std::isnan(x), "an objective is not a number");
  }
}

double volume(std::span<const double> point, std::span<const double> reference) {
  double product = 1;
  for (std::size_t i = 0; i < point.size(); ++i)
    product *= reference[i] - point[i];
  return product;
}

std::vector<Point> non_dominated(std::span<const Point> points) {
  std::vector<Point> kept;
  for (const std::size_t i : pareto_front(points))
    kept.push_back(points[i]);
  return kept;
}

// REQUIRES: non-dominated, two objectives, ascending in the first (so descending in the second).
double area(std::span<const Point> points, std::span<const double> reference) {
  double sum = 0;
  double top = reference[1];
  for (const Point& point : points) {
    sum += (reference[0] - point[0]) * (top - point[1]);
    top = point[1];
  }
  return sum;
}

// Each point adds its own box less what the points after it cover of that box; those parts are
// again boxes with a corner at the reference. REQUIRES: non-dominated.
double exclusive_sum(std::vector<Point> points, std::span<const double> reference) {
  std::sort(points.begin(), points.end());
  if (reference.size() == 2)
    return area(points, reference);
  double sum = 0;
  for (std::size_t k = 0; k < points.size(); ++k) {
    std::vector<Point> limited(points.begin() + static_cast<std::ptrdiff_t>(k) + 1, points.end());
    for (Point& other : limited) {
      for (std::size_t i = 0; i < other.size(); ++i)
        other[i] = std::max(other[i], points[k][i]);
    }
    sum += volume(points[k], reference) - exclusive_sum(non_dominated(limited), reference);
  }
  return sum;
}

}  // namespace

bool dominates(std::span<const double> a, std::span<const double> b) {
  TESSERA_CHECK(a.size() == b.size(), "points of {} and {} objectives", a.size(), b.size());
  bool better = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i])
      return false;
    better = better || a[i] < b[i];
  }
  return better;
}

std::vector<int> pareto_ranks(std::span<const Point> points) {
  const std::size_t n = points.size();
  if (n > 0)
    check_points(points, points[0].size());
  std::vector<std::vector<std::size_t>> below(n);
  std::vector<int> dominators(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      if (!dominates(points[i], points[j]))
        continue;
      below[i].push_back(j);
      ++dominators[j];
    }
  }
  std::vector<int> ranks(n, 0);
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < n; ++i) {
    if (dominators[i] == 0)
      front.push_back(i);
  }
  for (int rank = 0; !front.empty(); ++rank) {
    std::vector<std::size_t> next;
    for (const std::size_t i : front) {
      ranks[i] = rank;
      for (const std::size_t j : below[i]) {
        if (--dominators[j] == 0)
          next.push_back(j);
      }
    }
    front = std::move(next);
  }
  return ranks;
}

std::vector<std::size_t> pareto_front(std::span<const Point> points) {
  if (!points.empty())
    check_points(points, points[0].size());
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < points.size(); ++i) {
    bool kept = true;
    for (std::size_t j = 0; j < points.size() && kept; ++j)
      kept = !dominates(points[j], points[i]) && (j >= i || points[j] != points[i]);
    if (kept)
      front.push_back(i);
  }
  return front;
}

double hypervolume(std::span<const Point> points, std::span<const double> reference) {
  TESSERA_CHECK(!reference.empty(), "no objectives");
  check_points(points, reference.size());
  std::vector<Point> inside;
  for (const Point& point : points) {
    const bool counts = std::equal(point.begin(), point.end(), reference.begin(), std::less<>{});
    if (counts)
      inside.push_back(point);
  }
  return exclusive_sum(non_dominated(inside), reference);
}

}  // namespace tessera::plan
