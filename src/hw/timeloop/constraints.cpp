// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/text.h"
#include "tessera/ir/loop_text.h"

#include "timeloop.h"

namespace tessera::hw::timeloop {
namespace {

using config::Findings;
using config::Node;

void read_loop_constraint(const Node& node, const SpatialNames& names, LoopConstraint& constraint,
                          Findings& findings) {
  if (const Node* factors = node.find("factors")) {
    for (const ir::WrittenFactor& factor : ir::parse_factors(*factors, names.dims, findings)) {
      FactorConstraint entry{.dim = factor.dim, .factor = factor.value};
      if (factor.value == 0)
        entry.kind = FactorConstraint::Kind::kFull;
      else if (factor.at_most)
        entry.kind = FactorConstraint::Kind::kAtMost;
      std::erase_if(constraint.factors,
                    [&](const FactorConstraint& old) { return old.dim == entry.dim; });
      constraint.factors.push_back(std::move(entry));
    }
  }
  if (const Node* permutation = node.find("permutation")) {
    ir::WrittenOrder order = ir::parse_order(*permutation, names.dims, findings);
    constraint.inner = std::move(order.inner);
    constraint.outer = std::move(order.outer);
  }
  if (const Node* split = node.find("split")) {
    if (const auto value = ir::parse_integer(*split, 0, findings))
      constraint.split = static_cast<int>(std::min<std::int64_t>(*value, 1000));
  }
}

void read_keep(const Node& node, const SpatialNames& names, bool keep_is_all, StorageLevel& level,
               Findings& findings) {
  const Node* keep = node.find("keep");
  const Node* bypass = node.find("bypass");
  if (keep != nullptr)
    level.keep = ir::parse_names(*keep, "tensor", names.tensors, findings);
  if (bypass != nullptr)
    level.bypass = ir::parse_names(*bypass, "tensor", names.tensors, findings);
  for (const std::string& tensor : names.tensors) {
    const bool kept = std::ranges::find(level.keep, tensor) != level.keep.end();
    const bool bypassed = std::ranges::find(level.bypass, tensor) != level.bypass.end();
    if (kept && bypassed)
      findings.add(node, fmt::format("tensor '{}' is both kept and bypassed", tensor));
    // In 0.4's tree a component that lists what it keeps holds nothing else.
    if (keep_is_all && keep != nullptr && bypass == nullptr && !kept && !bypassed)
      level.bypass.push_back(tensor);
  }
}

void read_target(const Node& entry, const SpatialNames& names, SpatialUnit& unit,
                 Findings& findings) {
  if (!ir::check_keys(entry, "a constraint",
                      {"target", "type", "factors", "permutation", "split", "keep", "bypass", "min",
                       "no_multicast_no_reduction"},
                      findings))
    return;
  const Node* target = entry.find("target");
  const Node* type = entry.find("type");
  if (target == nullptr || type == nullptr) {
    findings.add(entry, "a constraint needs 'target' and 'type'");
    return;
  }
  const int index = unit.find_level(target->text);
  if (index < 0) {
    findings.add(*target, unknown_name("level", target->text, unit.level_names()));
    return;
  }
  StorageLevel& level = unit.levels[index];
  if (type->text == "temporal") {
    read_loop_constraint(entry, names, level.temporal, findings);
  } else if (type->text == "spatial") {
    read_loop_constraint(entry, names, level.spatial, findings);
  } else if (type->text == "bypass" || type->text == "datatype" || type->text == "dataspace") {
    read_keep(entry, names, /*keep_is_all=*/false, level, findings);
  } else if (type->text == "utilization" || type->text == "parallelism") {
    if (const Node* least = entry.find("min"))
      level.min_parallelism = ir::parse_number(*least, findings);
  } else {
    findings.add(*type, unknown_name("type", type->text,
                                     std::vector<std::string>{"temporal", "spatial", "bypass",
                                                              "utilization"}));
  }
}

}  // namespace

void read_constraint_targets(const Section& constraints, const SpatialNames& names,
                             SpatialUnit& unit) {
  const Node* targets = constraints.node->find("targets");
  if (targets == nullptr && constraints.node->kind == Node::Kind::kList)
    targets = constraints.node;
  if (targets == nullptr) {
    if (constraints.node->kind != Node::Kind::kNull)
      constraints.findings->add(*constraints.node, "missing key 'targets'");
    return;
  }
  for (const Node& entry : targets->children)
    read_target(entry, names, unit, *constraints.findings);
}

void read_level_constraints(const Node& constraints, const SpatialNames& names, StorageLevel& level,
                            Findings& findings) {
  if (!ir::check_keys(constraints, "the constraints", {"dataspace", "temporal", "spatial"},
                      findings))
    return;
  if (const Node* dataspace = constraints.find("dataspace")) {
    if (ir::check_keys(*dataspace, "dataspace", {"keep", "bypass", "keep_only"}, findings))
      read_keep(*dataspace, names, /*keep_is_all=*/true, level, findings);
  }
  const std::vector<std::string> keys = {"factors", "permutation", "split",
                                         "no_multicast_no_reduction"};
  if (const Node* temporal = constraints.find("temporal")) {
    if (ir::check_keys(*temporal, "temporal", keys, findings))
      read_loop_constraint(*temporal, names, level.temporal, findings);
  }
  if (const Node* spatial = constraints.find("spatial")) {
    if (ir::check_keys(*spatial, "spatial", keys, findings))
      read_loop_constraint(*spatial, names, level.spatial, findings);
  }
}

}  // namespace tessera::hw::timeloop
