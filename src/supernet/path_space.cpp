// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/path_space.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "tessera/core/error.h"

namespace tessera::supernet {
namespace {

const format::Integer* integer_of(const plan::Path& path) {
  return path.parts.size() == 1 ? std::get_if<format::Integer>(&path.parts.front().format)
                                : nullptr;
}

// Paths by widths when they are all combinations of them on one unit, ascending; else empty.
std::vector<std::vector<int>> grid_of(const std::vector<plan::Path>& paths) {
  std::set<int> weights;
  std::set<int> activations;
  for (const plan::Path& path : paths) {
    const format::Integer* integer = integer_of(path);
    if (integer == nullptr || path.parts.front().unit != paths.front().parts.front().unit)
      return {};
    weights.insert(integer->weight_bits);
    activations.insert(integer->activation_bits);
  }
  if (weights.size() * activations.size() != paths.size())
    return {};
  std::vector<std::vector<int>> grid(weights.size(), std::vector<int>(activations.size(), -1));
  for (std::size_t p = 0; p < paths.size(); ++p) {
    const format::Integer* integer = integer_of(paths[p]);
    const auto w = std::distance(weights.begin(), weights.find(integer->weight_bits));
    const auto a = std::distance(activations.begin(), activations.find(integer->activation_bits));
    grid[static_cast<std::size_t>(w)][static_cast<std::size_t>(a)] = static_cast<int>(p);
  }
  const bool full = std::all_of(grid.begin(), grid.end(), [](const auto& row) {
    return std::find(row.begin(), row.end(), -1) == row.end();
  });
  return full ? grid : std::vector<std::vector<int>>();
}

bool same_formats(const std::vector<plan::Path>& a, const std::vector<plan::Path>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& p, const auto& q) {
    return std::equal(p.parts.begin(), p.parts.end(), q.parts.begin(), q.parts.end(),
                      [](const plan::Part& x, const plan::Part& y) {
                        return x.unit == y.unit && x.format == y.format;
                      });
  });
}

}  // namespace

PathSpace::PathSpace(const Space& space, std::span<const int> group) {
  TESSERA_CHECK(group.empty() || group.size() == space.size(), "{} groups for {} layers",
                group.size(), space.size());
  std::vector<std::size_t> leader;  // of each group, the first layer
  const auto add = [&](int count, bool ordered) {
    variables_.variables.push_back(search::ChoiceVariable{count, ordered});
    variables_.blocks.push_back(static_cast<int>(groups_.size()));
  };
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    const int own = group.empty() ? static_cast<int>(layer) : group[layer];
    group_of_.push_back(own);
    if (own < static_cast<int>(groups_.size())) {
      TESSERA_CHECK(same_formats(space[layer], space[leader[static_cast<std::size_t>(own)]]),
                    "layer {} has other paths than the first of its group", layer);
      continue;
    }
    TESSERA_CHECK(own == static_cast<int>(groups_.size()), "group {} after {} groups", own,
                  groups_.size());
    Group next{.first_variable = variables_.variables.size(), .grid = grid_of(space[layer])};
    if (next.grid.empty()) {
      add(static_cast<int>(space[layer].size()), false);
    } else {
      add(static_cast<int>(next.grid.size()), true);
      add(static_cast<int>(next.grid.front().size()), true);
    }
    leader.push_back(layer);
    groups_.push_back(std::move(next));
  }
}

Choice PathSpace::choice_of(const search::Genome& genome) const {
  Choice choice;
  choice.reserve(group_of_.size());
  for (const int own : group_of_) {
    const Group& group = groups_[static_cast<std::size_t>(own)];
    const auto value = [&](std::size_t i) {
      return static_cast<std::size_t>(genome[group.first_variable + i]);
    };
    choice.push_back(group.grid.empty() ? static_cast<int>(value(0))
                                        : group.grid[value(0)][value(1)]);
  }
  return choice;
}

std::optional<search::Genome> PathSpace::genome_of(const Choice& choice) const {
  search::Genome genome(variables_.variables.size(), 0);
  for (std::size_t layer = 0; layer < choice.size(); ++layer) {
    const Group& group = groups_[static_cast<std::size_t>(group_of_[layer])];
    if (group.grid.empty()) {
      genome[group.first_variable] = choice[layer];
      continue;
    }
    for (std::size_t w = 0; w < group.grid.size(); ++w) {
      const auto found = std::find(group.grid[w].begin(), group.grid[w].end(), choice[layer]);
      if (found == group.grid[w].end())
        continue;
      genome[group.first_variable] = static_cast<double>(w);
      genome[group.first_variable + 1] = static_cast<double>(found - group.grid[w].begin());
    }
  }
  return choice_of(genome) == choice ? std::optional(genome) : std::nullopt;
}

std::vector<Choice> uniform_choices(const Space& space) {
  std::set<int> widths;
  for (const auto& paths : space) {
    for (const plan::Path& path : paths) {
      const format::Integer* integer = integer_of(path);
      if (integer != nullptr && integer->weight_bits == integer->activation_bits)
        widths.insert(integer->weight_bits);
    }
  }
  std::vector<Choice> choices;
  for (const int width : widths) {
    Choice& choice = choices.emplace_back();
    for (const auto& paths : space) {
      const auto distance = [&](const plan::Path& path) {
        const format::Integer* integer = integer_of(path);
        return integer == nullptr ? 1000
                                  : std::abs(integer->weight_bits - width) +
                                        std::abs(integer->activation_bits - width);
      };
      const auto nearest =
          std::min_element(paths.begin(), paths.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
      choice.push_back(static_cast<int>(nearest - paths.begin()));
    }
  }
  return choices;
}

}  // namespace tessera::supernet
