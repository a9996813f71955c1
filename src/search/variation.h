// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/core/rng.h"
#include "tessera/search/ask_tell.h"
#include "tessera/search/nsga2.h"

namespace tessera::search {

// Simulated binary crossover of two values of a real variable within its bounds (Deb and Agrawal,
// Complex Systems 9, 1995; bounded as in Deb's NSGA-II): the children lie around the parents as if
// one bit string each had been cut, closer for larger `index`. Swaps nothing.
struct RealPair {
  double a = 0;
  double b = 0;
};
RealPair simulated_binary_crossover(RealPair parents, const RealVariable& bounds, double index,
                                    Rng& rng);

// Polynomial mutation within the bounds (Deb and Goyal, Computer Science and Informatics 26, 1996).
double polynomial_mutation(double value, const RealVariable& bounds, double index, Rng& rng);

// Another choice, if there is one: a neighbour half of the time when the variable is ordered.
int mutated_choice(int value, const ChoiceVariable& variable, Rng& rng);

struct GenomePair {
  Genome a;
  Genome b;
};
// Both with the standard operators of Nsga2Options.
GenomePair standard_crossover(const SearchSpace& space, const Nsga2Options& options,
                              GenomePair parents, Rng& rng);
void standard_mutation(const SearchSpace& space, const Nsga2Options& options, Genome& genome,
                       Rng& rng);

// One child by the operators of kKlhufek2024. REQUIRES: a space of choices.
Genome klhufek_offspring(const SearchSpace& space, const Genome& a, const Genome& b, Rng& rng);

}  // namespace tessera::search
