// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/read_platform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/core/text.h"

#include "platform_schema.h"

namespace tessera::hw {
namespace {

namespace fs = std::filesystem;
using config::Findings;

// Names in a list must differ; `list` is the list's key.
void check_unique(std::string_view list, std::string_view what,
                  const std::vector<std::string>& names, Findings& findings) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto first =
        std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]);
    if (first != names.begin() + static_cast<std::ptrdiff_t>(i)) {
      findings.add(fmt::format("{}[{}].name", list, i),
                   fmt::format("found '{}', the name of another {}; allowed: a name of its own",
                               names[i], what));
    }
  }
}

void check_known(const std::string& path, std::string_view what, const std::string& found,
                 const std::vector<std::string>& known, Findings& findings) {
  if (std::find(known.begin(), known.end(), found) == known.end())
    findings.add(path, unknown_name(what, found, known));
}

// Figures of different nodes side by side would bias every search.
void check_nodes(const Platform& platform, Findings& findings) {
  if (!platform.node_scaling.empty())
    return;
  const auto check = [&](const std::string& path, double node_nm) {
    if (node_nm != platform.node_nm) {
      findings.add(path + ".node",
                   fmt::format("found {} nm; allowed: {} nm as the platform, or state in "
                               "'node_scaling' how its figures were scaled",
                               node_nm, platform.node_nm));
    }
  };
  for (std::size_t i = 0; i < platform.units.size(); ++i) {
    check(fmt::format("units[{}]", i),
          std::visit([](const auto& unit) { return unit.node_nm; }, platform.units[i]));
  }
  for (std::size_t i = 0; i < platform.memories.size(); ++i)
    check(fmt::format("memories[{}]", i), platform.memories[i].node_nm);
  check("glue", platform.glue.node_nm);
}

void check_unit(const AnalogUnit& unit, const std::string& path, const std::vector<std::string>&,
                Findings& findings) {
  const double full_pj = unit.mvm_fixed_pj.value + unit.mvm_row_pj.value +
                         unit.mvm_column_pj.value + unit.mvm_cell_pj.value;
  if (full_pj <= 0)
    findings.add(path + ".mvm",
                 "found an MVM of 0 pJ; allowed: fixed, row, column or cell above 0");
}

// A StruM PE is stated beside the plain INT8 PE, and offers what it can run.
void check_strum_pe(const DigitalUnit& unit, const std::string& path, Findings& findings) {
  if (!unit.strum_pe)
    return;
  const StrumPe& pe = *unit.strum_pe;
  const format::NumberFormat int8 = format::Integer{.weight_bits = 8, .activation_bits = 8};
  const bool has_int8 = std::any_of(unit.modes.begin(), unit.modes.end(),
                                    [&](const DigitalMode& mode) { return mode.format == int8; });
  if (!has_int8)
    findings.add(path + ".modes", "found no int8; allowed: with 'strum_pe', modes that have it");
  for (std::size_t i = 0; i < pe.schemes.size(); ++i) {
    const std::string at = fmt::format("{}.strum_pe.schemes[{}]", path, i);
    if (const auto figures = strum_pe_figures(pe, pe.schemes[i]); !figures)
      findings.add(at, fmt::format("found '{}': {}; allowed: what the lanes can compute",
                                   format::to_string(pe.schemes[i]), figures.error().detail));
    const bool twice =
        std::find(pe.schemes.begin(), pe.schemes.begin() + static_cast<std::ptrdiff_t>(i),
                  pe.schemes[i]) != pe.schemes.begin() + static_cast<std::ptrdiff_t>(i);
    const bool listed = std::any_of(
        unit.modes.begin(), unit.modes.end(),
        [&](const DigitalMode& m) { return m.format == format::NumberFormat{pe.schemes[i]}; });
    if (twice || listed)
      findings.add(at, fmt::format("found '{}' a second time; allowed: each format once",
                                   format::to_string(pe.schemes[i])));
  }
}

void check_unit(const DigitalUnit& unit, const std::string& path,
                const std::vector<std::string>& memories, Findings& findings) {
  check_known(path + ".weight_memory", "memory", unit.weight_memory, memories, findings);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < unit.modes.size(); ++i) {
    const std::string format = to_string(unit.modes[i].format);
    if (!seen.insert(format).second) {
      findings.add(fmt::format("{}.modes[{}].format", path, i),
                   fmt::format("found '{}' a second time; allowed: each format once", format));
    }
  }
  check_strum_pe(unit, path, findings);
}

void check_links(const Platform& platform, const std::vector<std::string>& units,
                 Findings& findings) {
  std::set<std::pair<std::string, std::string>> seen;
  for (std::size_t i = 0; i < platform.links.size(); ++i) {
    const Link& link = platform.links[i];
    const std::string path = fmt::format("links[{}]", i);
    check_known(path + ".from", "unit", link.from, units, findings);
    check_known(path + ".to", "unit", link.to, units, findings);
    if (link.from == link.to)
      findings.add(path + ".to",
                   fmt::format("found '{}' at both ends; allowed: two units", link.to));
    if (!seen.insert(std::minmax(link.from, link.to)).second)
      findings.add(path, fmt::format("found a second link between '{}' and '{}'; allowed: one",
                                     link.from, link.to));
  }
}

void check_platform(const Platform& platform, Findings& findings) {
  std::vector<std::string> units;
  for (const Unit& unit : platform.units)
    units.emplace_back(name(unit));
  std::vector<std::string> memories;
  for (const Memory& memory : platform.memories)
    memories.push_back(memory.name);

  check_unique("units", "unit", units, findings);
  check_unique("memories", "memory", memories, findings);
  check_nodes(platform, findings);
  for (std::size_t i = 0; i < platform.units.size(); ++i) {
    std::visit(
        [&](const auto& unit) {
          check_unit(unit, fmt::format("units[{}]", i), memories, findings);
        },
        platform.units[i]);
  }
  check_known("activation_memory", "memory", platform.activation_memory, memories, findings);
  check_links(platform, units, findings);
}

bool is_yaml(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

}  // namespace

Platform parse_platform(std::string_view text, const std::string& file) {
  const config::Document document = config::parse_yaml(text, file);
  Platform platform = config::read<Platform>(document, platform_schema(), check_platform);
  platform.sha256 = sha256(text);
  return platform;
}

Platform read_platform(const fs::path& path) {
  return parse_platform(read_text(path), path.string());
}

Platform load_platform(const std::string& name_or_path, const std::vector<fs::path>& folders) {
  if (name_or_path.find('/') != std::string::npos || is_yaml(name_or_path))
    return read_platform(name_or_path);
  const std::vector<std::string> names = preset_names(folders);
  if (std::find(names.begin(), names.end(), name_or_path) == names.end()) {
    throw ConfigError(unknown_name("platform", name_or_path, names) +
                      "; a file of your own is given as PATH.yaml");
  }
  const auto folder = std::find_if(folders.begin(), folders.end(), [&](const fs::path& candidate) {
    return fs::exists(candidate / (name_or_path + ".yaml"));
  });
  TESSERA_CHECK(folder != folders.end(), "preset {} vanished", name_or_path);
  return read_platform(*folder / (name_or_path + ".yaml"));
}

std::vector<std::string> preset_names(const std::vector<fs::path>& folders) {
  std::set<std::string> names;
  for (const fs::path& folder : folders) {
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(folder, absent)) {
      if (entry.path().extension() == ".yaml")
        names.insert(entry.path().stem().string());
    }
  }
  return {names.begin(), names.end()};
}

std::vector<fs::path> platform_folders() {
  std::vector<fs::path> folders;
  if (const char* root = std::getenv("TESSERA_CONFIG_DIR"); root != nullptr && *root != '\0')
    folders.push_back(fs::path(root) / "hardware");
  folders.emplace_back(TESSERA_SOURCE_CONFIG_DIR "/hardware");
  folders.emplace_back(TESSERA_INSTALLED_CONFIG_DIR "/hardware");
  return folders;
}

std::string write_platform(const Platform& platform) {
  return config::write_yaml(platform_schema().dump(platform));
}

std::string explain_platform() {
  return config::explain(*platform_schema().help());
}

}  // namespace tessera::hw
