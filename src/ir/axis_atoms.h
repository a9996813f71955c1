// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Every axis of every value as a product of atoms, outermost first: one each at first, split where
// a Reshape or a Flatten cuts or joins axes. Atoms that operators let change only together are one
// (union-find); what is said of one holds for all that were joined to it.
class AxisAtoms {
 public:
  using Atom = std::size_t;

  explicit AxisAtoms(const Graph& graph);

  std::vector<Atom> of(ValueId value, std::size_t axis);
  std::int64_t size(Atom atom) { return atoms_[find(atom)].size; }

  // Atoms of two lists with the same product, outermost first, split until they match. What cannot
  // be matched is pinned.
  void join(const std::vector<Atom>& a, const std::vector<Atom>& b);
  void join(ValueId a, std::size_t i, ValueId b, std::size_t j) { join(of(a, i), of(b, j)); }

  // Must keep its size.
  void pin(const std::vector<Atom>& atoms);
  bool is_pinned(Atom atom) { return atoms_[find(atom)].pinned; }

  // What else is known of an atom.
  enum Mark : unsigned { kAdded = 1, kBatch = 2, kContracted = 4 };
  void mark(const std::vector<Atom>& atoms, Mark mark);
  bool has(Atom atom, Mark mark) { return (atoms_[find(atom)].marks & mark) != 0; }

 private:
  struct State {
    std::int64_t size = 1;
    Atom parent = 0;
    std::vector<Atom> parts{};  // of a split atom
    bool pinned = false;
    unsigned marks = 0;
  };

  Atom add(std::int64_t size);
  Atom find(Atom atom);
  void leaves(Atom atom, std::vector<Atom>& list);
  void split(Atom atom, std::int64_t outer);

  std::vector<State> atoms_;
  std::vector<std::size_t> offsets_;  // by value: the atom of its first axis
};

}  // namespace tessera::ir
