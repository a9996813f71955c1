// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "tessera/core/saturate.h"
#include "tessera/core/text.h"
#include "tessera/ir/loop_text.h"

#include "timeloop.h"

namespace tessera::hw::timeloop {
namespace {

using config::Findings;
using config::Node;

const std::vector<std::string> kComponentKeys = {
    "name",        "class",        "subclass", "attributes",
    "constraints", "spatial",      "enabled",  "required_actions",
    "area_scale",  "energy_scale", "count"};
// Attributes that the model reads. Others belong to the energy estimator; a name that is close to
// one of these is taken for a slip.
const std::vector<std::string> kAttributes = {"datawidth",
                                              "word-bits",
                                              "word_bits",
                                              "width",
                                              "depth",
                                              "entries",
                                              "block-size",
                                              "block_size",
                                              "n_words",
                                              "cluster-size",
                                              "cluster_size",
                                              "read_bandwidth",
                                              "write_bandwidth",
                                              "shared_bandwidth",
                                              "meshX",
                                              "meshY",
                                              "multiple_buffering",
                                              "min_utilization",
                                              "allow_overbooking",
                                              "has_power_gating",
                                              "multiplier_width"};
// Attributes of estimators whose names happen to be close to those above.
const std::vector<std::string> kEstimatorAttributes = {
    "adder_width", "n_banks", "datawidth_a", "width_a", "width_b", "memory_width", "memory_depth"};

using Attributes = std::map<std::string, const Node*>;

// One component as the tree has it, before its kind is known.
struct Component {
  const Node* node = nullptr;
  std::string name;
  Attributes attributes;
  std::int64_t mesh_x = 1;
  std::int64_t mesh_y = 1;
  const Node* constraints = nullptr;
  bool fans_out = false;  // no storage: only spreads
};

class Reader {
 public:
  Reader(const Section& section, const SpatialNames& names, SpatialUnit& unit)
      : root_(*section.node), findings_(*section.findings), names_(names), unit_(unit) {}

  void read() {
    const Findings::Scope scope(findings_, ".architecture");
    if (const Node* nodes = root_.find("nodes"); nodes != nullptr) {
      Mesh mesh;
      walk_nodes(*nodes, mesh, {});
    } else if (const Node* subtree = root_.find("subtree"); subtree != nullptr) {
      walk_subtree(*subtree, 1, {});
    } else {
      findings_.add(root_, "missing key 'nodes' (version 0.4) or 'subtree'");
      return;
    }
    if (components_.size() < 2) {
      findings_.add(root_, "found no storage level and MAC; allowed: at least one of each");
      return;
    }
    for (std::size_t i = components_.size() - 1; i-- > 0;)
      add_level(components_[i]);
    add_mac(components_.back());
    check_meshes();
  }

 private:
  struct Mesh {
    std::int64_t x = 1;
    std::int64_t y = 1;
  };

  // ---- 0.4's tree ----

  void walk_nodes(const Node& nodes, Mesh& mesh, Attributes inherited) {
    if (nodes.kind != Node::Kind::kList) {
      findings_.add(nodes, "found " + describe(nodes) + "; allowed: a list of nodes");
      return;
    }
    for (const Node& node : nodes.children) {
      if (node.tag == "!Container") {
        enter_container(node, mesh, inherited);
      } else if (node.tag == "!Component") {
        add_component(node, mesh, inherited);
      } else if (node.tag == "!Parallel" || node.tag == "!Hierarchical") {
        if (const Node* inner = node.find("nodes"))
          walk_nodes(*inner, mesh, inherited);
      } else if (node.tag != "!Nothing") {
        findings_.add(node,
                      unknown_name("node", node.tag.empty() ? "(without a tag)" : node.tag,
                                   std::vector<std::string>{"!Container", "!Component", "!Parallel",
                                                            "!Hierarchical", "!Nothing"}));
      }
    }
  }

  void enter_container(const Node& node, Mesh& mesh, Attributes& inherited) {
    if (!ir::check_keys(node, "a container", kComponentKeys, findings_))
      return;
    merge(node, inherited);
    spread(node, mesh, inherited);
  }

  void add_component(const Node& node, Mesh& mesh, const Attributes& inherited) {
    if (!ir::check_keys(node, "a component", kComponentKeys, findings_))
      return;
    if (node.find("spatial") != nullptr)
      spread(node, mesh, inherited);
    Component component{.node = &node, .name = name_of(node), .attributes = inherited};
    merge(node, component.attributes);
    component.mesh_x = mesh.x;
    component.mesh_y = mesh.y;
    // A component's spatial constraints belong to its fan-out.
    component.constraints = node.find("constraints");
    components_.push_back(std::move(component));
  }

  // A fan-out becomes a level of its own, named as Timeloop names it.
  void spread(const Node& node, Mesh& mesh, const Attributes& inherited) {
    const Node* spatial = node.find("spatial");
    if (spatial == nullptr ||
        !ir::check_keys(*spatial, "spatial", {"meshX", "meshY", "meshZ"}, findings_))
      return;
    Component level;
    level.node = &node;
    level.name = "inter_" + name_of(node) + "_spatial";
    level.attributes = inherited;
    level.mesh_x = mesh.x;
    level.mesh_y = mesh.y;
    level.constraints = node.find("constraints");
    level.fans_out = true;
    for (const Node& entry : spatial->children) {
      const auto size = ir::parse_integer(entry, 1, findings_);
      if (!size)
        continue;
      std::int64_t& side = entry.key == "meshX" ? mesh.x : mesh.y;
      side = saturating_multiply(side, *size);
    }
    components_.push_back(std::move(level));
  }

  std::string name_of(const Node& node) {
    const Node* name = node.find("name");
    if (name == nullptr || name->text.empty()) {
      findings_.add(node, "missing key 'name'");
      return "";
    }
    return name->text;
  }

  void merge(const Node& node, Attributes& attributes) {
    const Node* own = node.find("attributes");
    if (own == nullptr)
      return;
    for (const Node& entry : own->children) {
      check_attribute(entry);
      attributes[entry.key] = &entry;
    }
  }

  void check_attribute(const Node& entry) {
    const auto in = [&](const std::vector<std::string>& names) {
      return std::ranges::find(names, entry.key) != names.end();
    };
    if (in(kAttributes) || in(kEstimatorAttributes) || entry.key.size() < 5)
      return;
    if (nearest_name(entry.key, kAttributes))
      findings_.add_at_key(entry, unknown_name("attribute", entry.key, kAttributes));
  }

  // ---- The flat form ----

  void walk_subtree(const Node& subtree, std::int64_t count, const Attributes& inherited) {
    for (const Node& node : subtree.children) {
      Attributes attributes = inherited;
      merge(node, attributes);
      const Node* name = node.find("name");
      const std::int64_t own = name == nullptr ? 1 : multiplicity(*name).second;
      const std::int64_t here = saturating_multiply(count, own);
      if (const Node* local = node.find("local")) {
        for (const Node& component : local->children)
          add_local(component, here, attributes);
      }
      if (const Node* inner = node.find("subtree"))
        walk_subtree(*inner, here, attributes);
    }
  }

  void add_local(const Node& node, std::int64_t count, const Attributes& inherited) {
    if (!ir::check_keys(node, "a component", kComponentKeys, findings_))
      return;
    const Node* name = node.find("name");
    if (name == nullptr) {
      findings_.add(node, "missing key 'name'");
      return;
    }
    const auto [base, own] = multiplicity(*name);
    Component component{.node = &node, .name = base, .attributes = inherited};
    merge(node, component.attributes);
    const std::int64_t instances = saturating_multiply(count, own);
    component.mesh_x = integer(component, {"meshX"}, instances);
    if (instances % component.mesh_x != 0) {
      findings_.add(*name, fmt::format("{} instances do not fill rows of meshX = {}", instances,
                                       component.mesh_x));
    }
    component.mesh_y = std::max<std::int64_t>(instances / component.mesh_x, 1);
    const Node* kind = node.find("class");
    component.fans_out = kind != nullptr && kind->text == "dummy_storage";
    component.constraints = node.find("constraints");
    components_.push_back(std::move(component));
  }

  // "weights_spad[1..168]": the name and 168.
  std::pair<std::string, std::int64_t> multiplicity(const Node& name) {
    const std::string& text = name.text;
    const std::size_t open = text.find('[');
    if (open == std::string::npos)
      return {text, 1};
    std::int64_t first = 0;
    std::int64_t last = -1;
    const char* end = text.data() + text.size();
    const auto from = std::from_chars(text.data() + open + 1, end, first);
    if (from.ec == std::errc() && end - from.ptr > 2 && from.ptr[0] == '.' && from.ptr[1] == '.') {
      const auto to = std::from_chars(from.ptr + 2, end, last);
      if (to.ec == std::errc() && to.ptr + 1 == end && *to.ptr == ']' && last >= first &&
          last - first < (1 << 30))
        return {text.substr(0, open), last - first + 1};
    }
    findings_.add(name, "found " + describe(name) + "; allowed: NAME or NAME[FIRST..LAST]");
    return {text.substr(0, open), 1};
  }

  // ---- Components ----

  const Node* attribute(const Component& component,
                        std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const auto found = component.attributes.find(name);
      if (found != component.attributes.end() && found->second->kind != Node::Kind::kNull)
        return found->second;
    }
    return nullptr;
  }

  std::int64_t integer(const Component& component, std::initializer_list<const char*> names,
                       std::int64_t otherwise) {
    const Node* node = attribute(component, names);
    return node == nullptr ? otherwise : ir::parse_integer(*node, 1, findings_).value_or(otherwise);
  }

  std::optional<double> bandwidth(const Component& component, const char* name) {
    const Node* node = attribute(component, {name});
    if (node == nullptr)
      return std::nullopt;
    const auto value = ir::parse_number(*node, findings_);
    if (value && *value == 0) {
      findings_.add(*node, "found '0'; allowed: a bandwidth above 0, in words per cycle");
      return std::nullopt;
    }
    return value;
  }

  void add_level(const Component& component) {
    StorageLevel level;
    level.name = component.name;
    level.mesh_x = component.mesh_x;
    level.mesh_y = component.mesh_y;
    level.instances = saturating_multiply(level.mesh_x, level.mesh_y);
    level.keeps_nothing = component.fans_out;
    if (unit_.find_level(level.name) >= 0)
      findings_.add(*component.node, fmt::format("level '{}' stands twice", level.name));
    if (!component.fans_out)
      read_storage(component, level);
    if (component.constraints != nullptr)
      read_level_constraints(*component.constraints, names_, level, findings_);
    unit_.levels.push_back(std::move(level));
  }

  void read_storage(const Component& component, StorageLevel& level) {
    const Node* data_width = attribute(component, {"datawidth", "word-bits", "word_bits"});
    if (data_width == nullptr)
      findings_.add(*component.node,
                    fmt::format("missing attribute 'datawidth' of '{}'", component.name));
    else
      level.word_bits = ir::parse_integer(*data_width, 1, findings_).value_or(level.word_bits);
    level.cluster_size = integer(component, {"cluster_size", "cluster-size"}, 1);
    level.block_words = integer(component, {"block_size", "block-size", "n_words"}, 0);
    if (level.block_words == 0) {
      const std::int64_t width = integer(component, {"width"}, level.word_bits);
      level.block_words = width / saturating_multiply(level.word_bits, level.cluster_size);
      if (level.block_words == 0 || width % level.word_bits != 0) {
        findings_.add(*component.node,
                      fmt::format("'{}': a width of {} bits does not hold whole words of {} bits "
                                  "for {} instances",
                                  component.name, width, level.word_bits, level.cluster_size));
        level.block_words = 1;
      }
    }
    if (const std::int64_t entries = integer(component, {"entries"}, 0); entries > 0)
      level.capacity_words = entries;
    else if (const std::int64_t depth = integer(component, {"depth"}, 0); depth > 0)
      level.capacity_words = saturating_multiply(depth, level.block_words);
    level.read_bandwidth = bandwidth(component, "read_bandwidth");
    level.write_bandwidth = bandwidth(component, "write_bandwidth");
    level.shared_bandwidth = bandwidth(component, "shared_bandwidth");
    refuse_unless(component, "multiple_buffering", {"1", "1.0"});
    refuse_unless(component, "min_utilization", {"0", "0.0"});
    refuse_unless(component, "allow_overbooking", {"false", "False"});
    refuse_unless(component, "has_power_gating", {"false", "False"});
  }

  void refuse_unless(const Component& component, const char* name,
                     const std::vector<std::string>& allowed) {
    const Node* node = attribute(component, {name});
    if (node != nullptr && std::ranges::find(allowed, node->text) == allowed.end())
      findings_.add(*node, fmt::format("{} of {} is not modelled; allowed: {}", name,
                                       describe(*node), allowed.front()));
  }

  void add_mac(const Component& component) {
    unit_.mac.name = component.name;
    unit_.mac.mesh_x = component.mesh_x;
    unit_.mac.mesh_y = component.mesh_y;
    unit_.mac.instances = saturating_multiply(component.mesh_x, component.mesh_y);
    unit_.mac.word_bits = static_cast<int>(
        std::min<std::int64_t>(integer(component, {"datawidth", "multiplier_width"}, 16), 1024));
  }

  // Every instance must feed a whole number of instances further in.
  void check_meshes() {
    std::int64_t x = unit_.mac.mesh_x;
    std::int64_t y = unit_.mac.mesh_y;
    for (const StorageLevel& level : unit_.levels) {
      if (x % level.mesh_x != 0 || y % level.mesh_y != 0) {
        findings_.add(root_, fmt::format("'{}' has {} x {} instances, which do not divide the "
                                         "{} x {} of the level inside it",
                                         level.name, level.mesh_x, level.mesh_y, x, y));
      }
      x = level.mesh_x;
      y = level.mesh_y;
    }
  }

  const Node& root_;
  Findings& findings_;
  const SpatialNames& names_;
  SpatialUnit& unit_;
  std::vector<Component> components_;  // outer to inner
};

}  // namespace

void read_architecture(const Section& architecture, const SpatialNames& names, SpatialUnit& unit) {
  Reader(architecture, names, unit).read();
}

}  // namespace tessera::hw::timeloop
