// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "tessera/core/text.h"
#include "tessera/ir/loop_text.h"

#include "timeloop.h"

namespace tessera::hw::timeloop {
namespace {

using config::Findings;
using config::Node;

// "system_top_level.shared_glb[1..1]" is the table of "shared_glb".
std::string component_name(std::string_view path) {
  path = path.substr(0, path.find('['));
  const std::size_t dot = path.rfind('.');
  return std::string(dot == std::string_view::npos ? path : path.substr(dot + 1));
}

// Tables of an ERT or ART by component.
std::map<std::string, const Node*> tables(const Section& section) {
  std::map<std::string, const Node*> result;
  const Node* list = section.node->find("tables");
  if (list == nullptr) {
    section.findings->add(*section.node, "missing key 'tables'");
    return result;
  }
  for (const Node& table : list->children) {
    const Node* name = table.find("name");
    if (name == nullptr)
      section.findings->add(table, "missing key 'name' of a table");
    else
      result[component_name(name->text)] = &table;
  }
  return result;
}

// Energy of each action; of several rows with different arguments the largest.
std::map<std::string, double> actions(const Node& table, Findings& findings) {
  std::map<std::string, double> result;
  const Node* list = table.find("actions");
  if (list == nullptr) {
    findings.add(table, "missing key 'actions' of a table");
    return result;
  }
  for (const Node& action : list->children) {
    const Node* name = action.find("name");
    const Node* energy = action.find("energy");
    if (name == nullptr || energy == nullptr) {
      findings.add(action, "an action needs 'name' and 'energy'");
      continue;
    }
    if (const auto value = ir::parse_number(*energy, findings)) {
      const auto [entry, is_new] = result.emplace(name->text, *value);
      if (!is_new)
        entry->second = std::max(entry->second, *value);
    }
  }
  return result;
}

std::string names_of(const std::map<std::string, double>& actions) {
  std::string text;
  for (const auto& [name, energy] : actions)
    text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

// The first of `wanted` that the table has.
std::optional<double> require_action(const Node& table, const std::map<std::string, double>& found,
                                     const std::vector<std::string>& wanted, Findings& findings) {
  for (const std::string& name : wanted) {
    if (const auto action = found.find(name); action != found.end())
      return action->second;
  }
  const Node* name = table.find("name");
  findings.add(table, fmt::format("missing action '{}' of {} (found: {})", wanted.front(),
                                  name == nullptr ? "a table" : name->text, names_of(found)));
  return std::nullopt;
}

template <typename Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map)
    keys.push_back(key);
  return keys;
}

}  // namespace

void read_energies(const Section& ert, SpatialUnit& unit) {
  const auto found = tables(ert);
  const auto table_of = [&](const std::string& name) -> const Node* {
    const auto table = found.find(name);
    if (table != found.end())
      return table->second;
    ert.findings->add(*ert.node, unknown_name("component without a table,", name, keys_of(found)));
    return nullptr;
  };
  for (StorageLevel& level : unit.levels) {
    if (level.keeps_nothing)
      continue;
    const Node* table = table_of(level.name);
    if (table == nullptr)
      continue;
    const auto energies = actions(*table, *ert.findings);
    level.read_pj = require_action(*table, energies, {"read"}, *ert.findings).value_or(0);
    level.write_pj =
        require_action(*table, energies, {"write", "update"}, *ert.findings).value_or(0);
    const auto leak = energies.find("leak");
    level.leak_pj = leak == energies.end() ? 0 : leak->second;
  }
  if (const Node* table = table_of(unit.mac.name)) {
    unit.mac.energy_pj = require_action(*table, actions(*table, *ert.findings),
                                        {"compute", "mac_random", "mac"}, *ert.findings)
                             .value_or(0);
  }
}

void read_areas(const Section& art, SpatialUnit& unit) {
  const auto found = tables(art);
  const auto area_of = [&](const std::string& name) {
    const auto table = found.find(name);
    const Node* area = table == found.end() ? nullptr : table->second->find("area");
    return area == nullptr ? 0.0 : ir::parse_number(*area, *art.findings).value_or(0);
  };
  for (StorageLevel& level : unit.levels)
    level.area_um2 = level.keeps_nothing ? 0 : area_of(level.name);
  unit.mac.area_um2 = area_of(unit.mac.name);
}

}  // namespace tessera::hw::timeloop
