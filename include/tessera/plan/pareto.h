// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace tessera::plan {

// Objectives are minimized throughout; whoever maximizes negates. All points have one length and no
// NaN (InternalError).
using Point = std::vector<double>;

// a is nowhere worse than b and somewhere better.
bool dominates(std::span<const double> a, std::span<const double> b);

// Front number of each point by peeling: 0 for the non-dominated ones, 1 for those that only front
// 0 dominates, and so on. O(n² · d).
std::vector<int> pareto_ranks(std::span<const Point> points);

// Indices of the non-dominated points, ascending; of equal points the first.
std::vector<std::size_t> pareto_front(std::span<const Point> points);

// Volume dominated by the points and bounded by `reference`, exact up to rounding, in any dimension
// by exclusive volumes (While, Bradstreet and Barone, "A fast way of calculating exact
// hypervolumes", 2012): meant for up to a few hundred points in up to five dimensions. A point
// counts when it is below the reference in every objective.
double hypervolume(std::span<const Point> points, std::span<const double> reference);

}  // namespace tessera::plan
