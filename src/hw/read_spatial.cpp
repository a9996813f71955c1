// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/read_spatial.h"

#include <algorithm>
#include <deque>

#include "tessera/core/config.h"
#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/core/text.h"
#include "tessera/ir/loop_text.h"

#include "timeloop/timeloop.h"

namespace tessera::hw {
namespace {

namespace fs = std::filesystem;
using config::Document;
using config::Findings;
using config::Node;
using timeloop::Section;

// Sections of Timeloop's files; those that this reader does not name itself are skipped.
const std::vector<std::string> kSections = {"architecture",
                                            "architecture_constraints",
                                            "mapspace_constraints",
                                            "constraints",
                                            "ERT",
                                            "ART",
                                            "tessera",
                                            "version",
                                            "problem",
                                            "mapping",
                                            "mapper",
                                            "mapspace",
                                            "components",
                                            "compound_components",
                                            "globals",
                                            "variables",
                                            "ERT_summary",
                                            "ART_summary",
                                            "sparse_optimizations",
                                            "dumped_by_timeloop_front_end"};

class Sections {
 public:
  explicit Sections(std::span<const Document> documents) {
    for (const Document& document : documents) {
      findings_.emplace_back(document);
      if (!ir::check_keys(document.root, "the file", kSections, findings_.back()))
        continue;
      for (const Node& entry : document.root.children)
        add(entry, findings_.back());
    }
  }

  Section find(std::string_view name) const {
    for (const Section& section : sections_) {
      if (section.node->key == name)
        return section;
    }
    return {};
  }

  void throw_if_any() const {
    for (const Findings& findings : findings_)
      findings.throw_if_any();
  }

 private:
  void add(const Node& entry, Findings& findings) {
    const bool ours = entry.key == "architecture" || entry.key == "ERT" || entry.key == "ART";
    if (ours && find(entry.key))
      findings.add_at_key(entry, fmt::format("a second section '{}'", entry.key));
    sections_.push_back({&entry, &findings});
  }

  std::deque<Findings> findings_;
  std::vector<Section> sections_;
};

MacEnergyTable read_table(const Node& node, Findings& findings) {
  MacEnergyTable table;
  for (const Node& entry : node.children) {
    Node width = entry;
    width.kind = Node::Kind::kScalar;
    width.text = entry.key;
    const auto bits = ir::parse_integer(width, 1, findings);
    const auto energy = ir::parse_number(entry, findings);
    if (bits && energy)
      table.pj_of_bits.emplace_back(static_cast<int>(*bits), *energy);
  }
  std::ranges::sort(table.pj_of_bits);
  return table;
}

void read_mac_energy(const Node& node, MacLevel& mac, Findings& findings) {
  if (!ir::check_keys(node, "mac_energy", {"quadratic", "linear", "table"}, findings))
    return;
  if (const Node* table = node.find("table")) {
    mac.energy_by_width = read_table(*table, findings);
    return;
  }
  MacEnergyFit fit;
  if (const Node* quadratic = node.find("quadratic"))
    fit.quadratic_pj = ir::parse_number(*quadratic, findings).value_or(0);
  if (const Node* linear = node.find("linear"))
    fit.linear_pj = ir::parse_number(*linear, findings).value_or(0);
  mac.energy_by_width = fit;
}

void read_own_section(const Section& section, SpatialUnit& unit) {
  const Node& node = *section.node;
  Findings& findings = *section.findings;
  const Findings::Scope scope(findings, ".tessera");
  if (!ir::check_keys(node, "the section",
                      {"version", "name", "summary", "source", "mac_energy", "sub_word_rate"},
                      findings))
    return;
  const auto text = [&](const char* key, std::string& value) {
    if (const Node* entry = node.find(key))
      value = entry->text;
  };
  text("name", unit.name);
  text("summary", unit.summary);
  text("source", unit.source);
  if (const Node* energy = node.find("mac_energy"))
    read_mac_energy(*energy, unit.mac, findings);
  if (const Node* rate = node.find("sub_word_rate")) {
    if (rate->text != "true" && rate->text != "false")
      findings.add(*rate, "found " + describe(*rate) + "; allowed: true, false");
    unit.mac.sub_word_rate = rate->text == "true";
  }
}

bool ends_in(const fs::path& path, std::string_view end) {
  return path.filename().string().ends_with(end);
}

bool is_path(const std::string& text) {
  return text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml");
}

fs::path find_preset(const std::string& name, const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    const fs::path file = folder / "spatial" / (name + ".yaml");
    if (fs::exists(file))
      return file;
  }
  throw ConfigError(unknown_name("spatial unit", name, spatial_preset_names(folders)));
}

// The table beside an architecture file; a folder with several is not guessed at.
void add_table_beside(const fs::path& architecture, std::string_view end,
                      std::vector<fs::path>& files) {
  std::vector<fs::path> found;
  const fs::path folder = architecture.has_parent_path() ? architecture.parent_path() : ".";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (ends_in(entry.path(), end))
      found.push_back(entry.path());
  }
  if (found.size() == 1)
    files.push_back(found.front());
}

}  // namespace

SpatialUnit parse_spatial_unit(std::span<const Document> documents, const SpatialNames& extra) {
  SpatialNames names{{"N", "C", "M", "R", "S", "P", "Q", "G", "K"},
                     {"Weights", "Inputs", "Outputs"}};
  const auto add = [](std::vector<std::string>& known, const std::vector<std::string>& more) {
    for (const std::string& name : more) {
      if (std::ranges::find(known, name) == known.end())
        known.push_back(name);
    }
  };
  add(names.dims, extra.dims);
  add(names.tensors, extra.tensors);
  Sections sections(documents);
  sections.throw_if_any();
  const std::string file = documents.empty() ? "" : documents.front().file;
  const Section architecture = sections.find("architecture");
  if (!architecture)
    throw ConfigError({file, 1, 1}, "missing section 'architecture'");
  const Section ert = sections.find("ERT");
  if (!ert) {
    throw ConfigError({file, 1, 1},
                      "missing section 'ERT', the energy of each action (a file that ends in "
                      "ERT.yaml beside this one, or named after a comma)");
  }
  SpatialUnit unit;
  timeloop::read_architecture(architecture, names, unit);
  sections.throw_if_any();
  for (const char* name : {"architecture_constraints", "mapspace_constraints", "constraints"}) {
    if (const Section constraints = sections.find(name))
      timeloop::read_constraint_targets(constraints, names, unit);
  }
  timeloop::read_energies(ert, unit);
  if (const Section art = sections.find("ART"))
    timeloop::read_areas(art, unit);
  if (const Section own = sections.find("tessera"))
    read_own_section(own, unit);
  sections.throw_if_any();
  if (unit.name.empty())
    unit.name = fs::path(file).parent_path().filename().string();
  return unit;
}

SpatialUnit load_spatial_unit(const std::string& name_or_paths,
                              const std::vector<fs::path>& folders, const SpatialNames& names) {
  std::vector<fs::path> files;
  if (is_path(name_or_paths)) {
    for (const std::string& part : split(name_or_paths, ','))
      files.emplace_back(part);
  } else {
    files.push_back(find_preset(name_or_paths, folders));
  }
  std::vector<Document> documents;
  Sha256 hash;
  const auto read = [&](const fs::path& file) {
    const std::string text = read_text(file);
    hash.add(text);
    documents.push_back(config::parse_yaml(text, file.string()));
  };
  for (const fs::path& file : files)
    read(file);
  if (files.size() == 1 && documents[0].root.find("ERT") == nullptr) {
    std::vector<fs::path> beside;
    add_table_beside(files[0], "ERT.yaml", beside);
    add_table_beside(files[0], "ART.yaml", beside);
    for (const fs::path& file : beside)
      read(file);
  }
  SpatialUnit unit = parse_spatial_unit(documents, names);
  unit.sha256 = hash.hex();
  return unit;
}

std::vector<std::string> spatial_preset_names(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders) {
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(folder / "spatial", code)) {
      if (entry.path().extension() == ".yaml")
        names.push_back(entry.path().stem().string());
    }
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace tessera::hw
