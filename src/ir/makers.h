// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "tessera/ir/graph.h"

#include "axis_atoms.h"

namespace tessera::ir {

// The axis along which a Gather of one constant index or a Split takes part of its input; none for
// other nodes. REQUIRES: shapes.
std::optional<std::size_t> taken_axis(const Graph& graph, const Node& node);

// Which elements of which constants make an atom of an activation: those of the layers, biases and
// constants behind it, as the numbers of the repetitions of the atom in their axes.
class Makers {
 public:
  using Place = std::pair<ValueId, std::size_t>;  // a constant and its axis

  Makers(const Graph& graph, const Wiring& wiring, AxisAtoms& atoms, AxisAtoms::Atom atom)
      : graph_(graph), wiring_(wiring), atoms_(atoms), atom_(atom) {}

  // Adds those of `value`. False where something stands between that does not leave a zero at zero,
  // or that is not looked through.
  bool trace(ValueId value);
  const std::map<Place, std::set<std::int64_t>>& found() const { return found_; }

 private:
  // Indices of an atom that were taken on the way.
  struct Taken {
    AxisAtoms::Atom atom;
    std::int64_t begin = 0, end = 0;
  };

  bool trace(ValueId value, std::vector<Taken> taken);
  bool holds(ValueId value, std::size_t axis);
  bool holds(ValueId value);
  bool add(ValueId constant, std::size_t axis, const std::vector<Taken>& taken);

  const Graph& graph_;
  const Wiring& wiring_;
  AxisAtoms& atoms_;
  AxisAtoms::Atom atom_;
  std::map<Place, std::set<std::int64_t>> found_;
};

}  // namespace tessera::ir
