// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/config.h"
#include "tessera/core/saturate.h"
#include "tessera/core/text.h"
#include "tessera/ir/loop_text.h"
#include "tessera/plan/loop_nest.h"

namespace tessera::plan {
namespace {

using config::Findings;
using config::Node;

class Reader {
 public:
  Reader(const config::Document& document, const NestNames& names)
      : document_(document), names_(names), findings_(document), rest_(names.dims.size()) {
    nest_.dims = names.dims;
    nest_.tensors = names.tensors;
    for (std::size_t s = 0; s < names.levels.size(); ++s)
      nest_.levels.push_back({.name = names.levels[s],
                              .keep = names.keep[s],
                              .spatial_x = {},
                              .spatial_y = {},
                              .temporal = {}});
  }

  LoopNest read() {
    const Node* mapping = document_.root.find("mapping");
    const Node& entries = mapping != nullptr ? *mapping : document_.root;
    if (entries.kind != Node::Kind::kList) {
      findings_.add(entries, "found " + describe(entries) +
                                 "; allowed: 'mapping' with a list of temporal, spatial and "
                                 "datatype entries");
      findings_.throw_if_any();
    }
    for (const Node& entry : entries.children)
      read_entry(entry);
    findings_.throw_if_any();
    close_products(entries);
    findings_.throw_if_any();
    return std::move(nest_);
  }

 private:
  // Where a factor of 0 stands: the loop gets what the other levels leave.
  struct Rest {
    const Node* node = nullptr;
    std::vector<NestLoop>* loops = nullptr;
    std::size_t place = 0;
  };

  void read_entry(const Node& entry) {
    if (!ir::check_keys(entry, "a mapping entry",
                        {"target", "type", "factors", "permutation", "split", "keep", "bypass"},
                        findings_))
      return;
    const Node* target = entry.find("target");
    const Node* type = entry.find("type");
    if (target == nullptr || type == nullptr) {
      findings_.add(entry, "a mapping entry needs 'target' and 'type'");
      return;
    }
    const auto level = std::ranges::find(names_.levels, target->text);
    if (level == names_.levels.end()) {
      findings_.add(*target, unknown_name("level", target->text, names_.levels));
      return;
    }
    NestLevel& place = nest_.levels[level - names_.levels.begin()];
    if (type->text == "temporal" || type->text == "spatial")
      read_loops(entry, type->text == "spatial", place);
    else if (type->text == "datatype" || type->text == "bypass")
      read_keep(entry, place);
    else
      findings_.add(*type,
                    unknown_name("type", type->text,
                                 std::vector<std::string>{"temporal", "spatial", "datatype"}));
  }

  void read_loops(const Node& entry, bool spatial, NestLevel& level) {
    const Node* written = entry.find("factors");
    if (written == nullptr)
      return;
    if (!level.temporal.empty() && !spatial)
      findings_.add(entry, fmt::format("temporal loops of {} stand twice", level.name));
    const auto factors = ir::parse_factors(*written, names_.dims, findings_);
    std::vector<std::string> order;
    if (const Node* permutation = entry.find("permutation")) {
      auto parsed = ir::parse_order(*permutation, names_.dims, findings_);
      order = std::move(parsed.inner);
      order.insert(order.end(), parsed.outer.begin(), parsed.outer.end());
    }
    for (const std::string& dim : names_.dims) {
      if (std::ranges::find(order, dim) == order.end())
        order.push_back(dim);
    }
    std::size_t split = order.size();
    if (const Node* node = entry.find("split")) {
      if (const auto value = ir::parse_integer(*node, 0, findings_))
        split = static_cast<std::size_t>(*value);
    }
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto factor = std::ranges::find(factors, order[i], &ir::WrittenFactor::dim);
      if (factor == factors.end() || factor->value == 1)
        continue;
      auto& loops = !spatial ? level.temporal : i < split ? level.spatial_x : level.spatial_y;
      if (factor->value == 0) {
        Rest& rest = rest_[dim_index(order[i])];
        if (rest.node != nullptr)
          findings_.add(*written, fmt::format("a second factor 0 for '{}'", order[i]));
        rest = {written, &loops, loops.size()};
      }
      loops.push_back({order[i], factor->value});
    }
  }

  void read_keep(const Node& entry, NestLevel& level) {
    std::vector<std::string> keep;
    std::vector<std::string> bypass;
    if (const Node* node = entry.find("keep"))
      keep = ir::parse_names(*node, "tensor", names_.tensors, findings_);
    if (const Node* node = entry.find("bypass"))
      bypass = ir::parse_names(*node, "tensor", names_.tensors, findings_);
    std::vector<std::string> result;
    for (const std::string& tensor : names_.tensors) {
      const bool kept = std::ranges::find(keep, tensor) != keep.end();
      const bool bypassed = std::ranges::find(bypass, tensor) != bypass.end();
      if (kept && bypassed)
        findings_.add(entry, fmt::format("tensor '{}' is both kept and bypassed", tensor));
      const bool before = std::ranges::find(level.keep, tensor) != level.keep.end();
      if (kept || (before && !bypassed))
        result.push_back(tensor);
    }
    level.keep = std::move(result);
  }

  std::size_t dim_index(const std::string& dim) const {
    return static_cast<std::size_t>(std::ranges::find(names_.dims, dim) - names_.dims.begin());
  }

  void close_products(const Node& entries) {
    for (std::size_t d = 0; d < names_.dims.size(); ++d) {
      const std::int64_t product = product_of(names_.dims[d]);
      const std::int64_t bound = names_.bounds[d];
      const Rest& rest = rest_[d];
      const Node& at = rest.node != nullptr ? *rest.node : entries;
      if (rest.node != nullptr && product > 0 && bound % product == 0)
        (*rest.loops)[rest.place].bound = bound / product;
      else if (rest.node != nullptr || product != bound)
        findings_.add(
            at, fmt::format("the factors of '{}' multiply to {}; allowed: {}{}", names_.dims[d],
                            product, rest.node != nullptr ? "a divisor of " : "", bound));
    }
    const auto is_unit = [](const NestLoop& loop) { return loop.bound == 1; };
    for (NestLevel& level : nest_.levels) {
      std::erase_if(level.spatial_x, is_unit);
      std::erase_if(level.spatial_y, is_unit);
      std::erase_if(level.temporal, is_unit);
    }
  }

  // Of all factors but the 0.
  std::int64_t product_of(const std::string& dim) const {
    std::int64_t product = 1;
    for (const NestLevel& level : nest_.levels) {
      for (const auto* loops : {&level.spatial_x, &level.spatial_y, &level.temporal}) {
        for (const NestLoop& loop : *loops) {
          if (loop.dim == dim && loop.bound != 0)
            product = saturating_multiply(product, loop.bound);
        }
      }
    }
    return product;
  }

  const config::Document& document_;
  const NestNames& names_;
  Findings findings_;
  LoopNest nest_;
  std::vector<Rest> rest_;
};

}  // namespace

LoopNest parse_loop_nest(const config::Document& document, const NestNames& names) {
  return Reader(document, names).read();
}

}  // namespace tessera::plan
