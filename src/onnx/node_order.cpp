// SPDX-License-Identifier: Apache-2.0
#include "node_order.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <queue>
#include <set>
#include <unordered_map>

#include "tessera/core/error.h"

#include "node_reader.h"

namespace tessera::onnx {
namespace {

std::vector<int> by_readiness(const pb::GraphProto& graph, std::vector<int> missing,
                              const std::vector<std::vector<int>>& waiting) {
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (missing[i] == 0)
      ready.push(static_cast<int>(i));
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int next = ready.top();
    ready.pop();
    order.push_back(next);
    for (const int reader : waiting[static_cast<std::size_t>(next)]) {
      if (--missing[static_cast<std::size_t>(reader)] == 0)
        ready.push(reader);
    }
  }
  if (order.size() < missing.size()) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < missing.size() && names.size() < 5; ++i) {
      if (missing[i] > 0)
        names.push_back(describe(graph.node(static_cast<int>(i))));
    }
    throw ImportError(fmt::format("nodes depend on themselves: {}", fmt::join(names, ", ")));
  }
  return order;
}

// Names that a subgraph (of If, Loop, Scan) reads from outside itself.
void collect_captured(const pb::GraphProto& graph, std::set<std::string>& captured) {
  std::set<std::string> local;
  for (const auto& input : graph.input())
    local.insert(input.name());
  for (const auto& initializer : graph.initializer())
    local.insert(initializer.name());
  for (const auto& node : graph.node())
    local.insert(node.output().begin(), node.output().end());
  std::set<std::string> read;
  for (const auto& node : graph.node()) {
    read.insert(node.input().begin(), node.input().end());
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g())
        collect_captured(attribute.g(), read);
      for (const auto& inner : attribute.graphs())
        collect_captured(inner, read);
    }
  }
  for (const auto& output : graph.output())
    read.insert(output.name());
  std::ranges::set_difference(read, local, std::inserter(captured, captured.end()));
}

}  // namespace

std::vector<std::string> needs(const pb::NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& input : node.input()) {
    if (!input.empty())
      names.push_back(input);
  }
  std::set<std::string> captured;
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g())
      collect_captured(attribute.g(), captured);
    for (const auto& graph : attribute.graphs())
      collect_captured(graph, captured);
  }
  captured.erase("");
  names.insert(names.end(), captured.begin(), captured.end());
  return names;
}

std::vector<int> topological_order(const pb::GraphProto& graph,
                                   const std::unordered_set<std::string>& given, int opset) {
  std::unordered_map<std::string, int> maker;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) {
      if (output.empty())
        continue;
      if (given.contains(output) || !maker.emplace(output, i).second)
        throw ImportError(fmt::format("value '{}' is made twice, the second time by {} ({})",
                                      output, describe(graph.node(i)), graph.node(i).op_type()));
    }
  }
  std::vector<int> missing(static_cast<std::size_t>(graph.node_size()));
  std::vector<std::vector<int>> waiting(missing.size());
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& name : needs(graph.node(i))) {
      if (given.contains(name))
        continue;
      const auto made = maker.find(name);
      if (made == maker.end())
        throw ImportError(
            fmt::format("{} ({}, opset {}) reads '{}', which is not an input, an initializer or a "
                        "node's output",
                        describe(graph.node(i)), graph.node(i).op_type(), opset, name));
      waiting[static_cast<std::size_t>(made->second)].push_back(i);
      ++missing[static_cast<std::size_t>(i)];
    }
  }
  return by_readiness(graph, std::move(missing), waiting);
}

}  // namespace tessera::onnx
