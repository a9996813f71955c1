// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "tessera/search/ask_tell.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// The layers' candidate paths as variables of a search. A layer whose paths are all combinations of
// some widths of weights and activations on one unit has two ordered variables; any other has one
// choice among its paths. Layers of one group share their variables. Variables of a group are a
// block.
class PathSpace {
 public:
  // `group` gives the group of each layer, numbered in order of first appearance; empty: each layer
  // is its own. InternalError when layers of a group have paths of different formats.
  explicit PathSpace(const Space& space, std::span<const int> group = {});

  const search::SearchSpace& variables() const { return variables_; }
  Choice choice_of(const search::Genome& genome) const;
  // None when the choices of a group differ.
  std::optional<search::Genome> genome_of(const Choice& choice) const;

 private:
  struct Group {
    std::size_t first_variable = 0;
    // Paths by widths, [weights][activations]; empty when there is one variable alone.
    std::vector<std::vector<int>> grid;
  };
  std::vector<int> group_of_;  // by layer
  std::vector<Group> groups_;
  search::SearchSpace variables_;
};

// Choices with one width everywhere, narrowest first: of each layer the path whose weights and
// activations both have it, or the nearest. Empty when no layer has integer paths.
std::vector<Choice> uniform_choices(const Space& space);

}  // namespace tessera::supernet
