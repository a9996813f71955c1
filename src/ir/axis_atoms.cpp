// SPDX-License-Identifier: Apache-2.0
#include "axis_atoms.h"

#include <algorithm>
#include <deque>

namespace tessera::ir {

AxisAtoms::AxisAtoms(const Graph& graph) {
  for (const Value& value : graph.values()) {
    offsets_.push_back(atoms_.size());
    if (!value.shape)
      continue;
    for (const std::int64_t size : *value.shape)
      add(size);
  }
}

AxisAtoms::Atom AxisAtoms::add(std::int64_t size) {
  atoms_.push_back({.size = size, .parent = atoms_.size()});
  return atoms_.size() - 1;
}

AxisAtoms::Atom AxisAtoms::find(Atom atom) {
  while (atoms_[atom].parent != atom)
    atom = atoms_[atom].parent = atoms_[atoms_[atom].parent].parent;
  return atom;
}

void AxisAtoms::leaves(Atom atom, std::vector<Atom>& list) {
  atom = find(atom);
  const std::vector<Atom> parts = atoms_[atom].parts;
  if (parts.empty())
    list.push_back(atom);
  for (const Atom part : parts)
    leaves(part, list);
}

std::vector<AxisAtoms::Atom> AxisAtoms::of(ValueId value, std::size_t axis) {
  std::vector<Atom> list;
  leaves(offsets_[value.index()] + axis, list);
  return list;
}

void AxisAtoms::split(Atom atom, std::int64_t outer) {
  const Atom first = add(outer);
  const Atom second = add(atoms_[atom].size / outer);
  for (const Atom part : {first, second}) {
    atoms_[part].pinned = atoms_[atom].pinned;
    atoms_[part].marks = atoms_[atom].marks;
  }
  atoms_[atom].parts = {first, second};
}

void AxisAtoms::join(const std::vector<Atom>& a, const std::vector<Atom>& b) {
  std::deque<Atom> left(a.begin(), a.end());
  std::deque<Atom> right(b.begin(), b.end());
  // Splitting one atom splits it wherever else it stands in the lists.
  const auto front = [&](std::deque<Atom>& list) {
    std::vector<Atom> now;
    leaves(list.front(), now);
    list.pop_front();
    list.insert(list.begin(), now.begin(), now.end());
    return list.front();
  };
  while (!left.empty() && !right.empty()) {
    const Atom x = front(left);
    const Atom y = front(right);
    const std::int64_t of_x = atoms_[x].size;
    const std::int64_t of_y = atoms_[y].size;
    if (of_x == of_y) {
      left.pop_front();
      right.pop_front();
      if (x == y)
        continue;
      atoms_[x].parent = y;
      atoms_[y].pinned = atoms_[y].pinned || atoms_[x].pinned;
      atoms_[y].marks |= atoms_[x].marks;
    } else if (of_y == 1) {
      pin({y});
      right.pop_front();
    } else if (of_x == 1) {
      pin({x});
      left.pop_front();
    } else if (of_x > of_y && of_x % of_y == 0) {
      split(x, of_y);
    } else if (of_y > of_x && of_y % of_x == 0) {
      split(y, of_x);
    } else {
      break;
    }
  }
  pin({left.begin(), left.end()});
  pin({right.begin(), right.end()});
}

void AxisAtoms::pin(const std::vector<Atom>& atoms) {
  std::vector<Atom> all;
  for (const Atom atom : atoms)
    leaves(atom, all);
  for (const Atom atom : all)
    atoms_[atom].pinned = true;
}

void AxisAtoms::mark(const std::vector<Atom>& atoms, Mark mark) {
  std::vector<Atom> all;
  for (const Atom atom : atoms)
    leaves(atom, all);
  for (const Atom atom : all)
    atoms_[atom].marks |= mark;
}

}  // namespace tessera::ir
