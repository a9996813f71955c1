// SPDX-License-Identifier: Apache-2.0
#pragma once

// Problems with known fronts: Zitzler, Deb and Thiele (Evol. Comp. 8, 2000), Deb, Thiele, Laumanns
// and Zitzler (DTLZ, 2002), and a constrained one from Deb et al. (2002, "CONSTR").

#include <cmath>
#include <numbers>

#include "tessera/search/ask_tell.h"

namespace tessera::search::testing {

inline SearchSpace unit_cube(int variables) {
  return {std::vector<Variable>(static_cast<std::size_t>(variables), RealVariable{0, 1})};
}

// g = 1 + 9 · mean of all variables but the first: 1 on the front.
inline double zdt_g(const Genome& x) {
  double sum = 0;
  for (std::size_t i = 1; i < x.size(); ++i)
    sum += x[i];
  return 1 + 9 * sum / static_cast<double>(x.size() - 1);
}
inline Evaluation zdt1(const Genome& x) {
  const double g = zdt_g(x);
  return {{x[0], g * (1 - std::sqrt(x[0] / g))}};
}
inline Evaluation zdt2(const Genome& x) {
  const double g = zdt_g(x);
  return {{x[0], g * (1 - x[0] * x[0] / (g * g))}};
}
inline Evaluation zdt3(const Genome& x) {
  const double g = zdt_g(x);
  const double f = x[0] / g;
  return {{x[0], g * (1 - std::sqrt(f) - f * std::sin(10 * std::numbers::pi * x[0]))}};
}
// Three objectives; the front is the unit sphere's octant.
inline Evaluation dtlz2(const Genome& x) {
  double g = 0;
  for (std::size_t i = 2; i < x.size(); ++i)
    g += (x[i] - 0.5) * (x[i] - 0.5);
  const double a = x[0] * std::numbers::pi / 2;
  const double b = x[1] * std::numbers::pi / 2;
  return {{(1 + g) * std::cos(a) * std::cos(b), (1 + g) * std::cos(a) * std::sin(b),
           (1 + g) * std::sin(a)}};
}

inline SearchSpace constr_space() {
  return {{RealVariable{0.1, 1}, RealVariable{0, 5}}};
}
inline Evaluation constr(const Genome& x) {
  const double first = x[1] + 9 * x[0] - 6;
  const double second = -x[1] + 9 * x[0] - 1;
  return {{x[0], (1 + x[1]) / x[0]}, std::max(0.0, -first) + std::max(0.0, -second)};
}

// Runs a searcher for so many rounds.
template <typename Evaluate>
void search_for(Searcher& searcher, int rounds, const Evaluate& evaluate, int threads = 1) {
  for (int round = 0; round < rounds; ++round) {
    const std::vector<Genome> asked = searcher.ask();
    if (asked.empty())
      return;
    searcher.tell(evaluate_all(asked, evaluate, threads));
  }
}

}  // namespace tessera::search::testing
