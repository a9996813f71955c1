// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "tessera/core/error.h"
#include "tessera/ir/verify.h"
#include "tessera/ir/widths.h"

namespace tessera::ir {
namespace {

// How far the shares of a channel's copies differ: uniform within this part of an equal share, on
// either side. Squares of shares, and with them the noise that a reader picks up, grow by less than
// a twelfth for it.
constexpr double kUnevenness = 0.5;

// Sizes without weights: constants keep their elements and no longer fit their shapes.
void resize_shapes(Graph& graph, const WidthGroup& group, std::int64_t width) {
  for (const WidthAxis& axis : group.axes) {
    std::int64_t& size = graph.value(axis.value).shape->at(axis.axis);
    TESSERA_CHECK(size == group.width * axis.inner, "group {}: axis {} of '{}' has {} elements",
                  group.name, axis.axis, graph.value(axis.value).name, size);
    size = width * axis.inner;
  }
  for (const NodeId id : group.depthwise) {
    auto& conv = std::get<Conv>(graph.node(id).op);
    conv.groups = conv.groups / group.width * width;
  }
}

// For each new channel the one that it copies.
std::vector<std::int64_t> copied_channels(std::int64_t old_width, std::int64_t width, Rng rng) {
  std::vector<std::int64_t> sources(static_cast<std::size_t>(old_width));
  std::iota(sources.begin(), sources.end(), std::int64_t{0});
  std::vector<std::int64_t> order = sources;
  while (static_cast<std::int64_t>(sources.size()) < width) {
    rng.shuffle(std::span(order));
    const auto missing = static_cast<std::size_t>(width) - sources.size();
    sources.insert(sources.end(), order.begin(),
                   order.begin() + static_cast<std::ptrdiff_t>(std::min(missing, order.size())));
  }
  return sources;
}

// A constant as [outer][channel][rest] around a group's axis.
struct Layout {
  std::size_t outer = 1, channels = 1, rest = 1;
};
Layout layout(const Shape& shape, const WidthAxis& axis) {
  Layout l;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto size = static_cast<std::size_t>(shape[i]);
    (i < axis.axis ? l.outer : i == axis.axis ? l.channels : l.rest) *= size;
  }
  l.channels /= static_cast<std::size_t>(axis.inner);
  l.rest *= static_cast<std::size_t>(axis.inner);
  return l;
}

// One element's value shared out among copies; the shares sum to it up to rounding.
void share_out(float value, std::span<float> shares, Rng& rng) {
  std::vector<double> parts(shares.size(), 0);
  double mean = 0;
  if (shares.size() > 1) {
    for (double& part : parts) {
      part = kUnevenness * rng.uniform(-1, 1);
      mean += part / static_cast<double>(parts.size());
    }
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i] = static_cast<float>(static_cast<double>(value) * (1 + parts[i] - mean) /
                                   static_cast<double>(shares.size()));
  }
}

// The constant with one axis widened.
Tensor widened(const Tensor& old, const WidthAxis& axis, const std::vector<std::int64_t>& sources,
               Rng rng) {
  Shape shape = old.shape();
  shape[axis.axis] = static_cast<std::int64_t>(sources.size()) * axis.inner;
  const Layout before = layout(old.shape(), axis);
  const Layout after = layout(shape, axis);
  const auto from = old.values<float>();
  std::vector<float> to(after.outer * after.channels * after.rest);
  const auto at = [](const Layout& l, std::size_t outer, std::size_t channel, std::size_t i) {
    return (outer * l.channels + channel) * l.rest + i;
  };
  if (!axis.summed) {
    for (std::size_t outer = 0; outer < after.outer; ++outer) {
      for (std::size_t c = 0; c < after.channels; ++c) {
        const auto source =
            from.begin() +
            static_cast<std::ptrdiff_t>(at(before, outer, static_cast<std::size_t>(sources[c]), 0));
        std::copy_n(source, after.rest,
                    to.begin() + static_cast<std::ptrdiff_t>(at(after, outer, c, 0)));
      }
    }
    return Tensor::from(shape, to);
  }
  std::vector<std::vector<std::size_t>> copies(before.channels);
  for (std::size_t c = 0; c < after.channels; ++c)
    copies[static_cast<std::size_t>(sources[c])].push_back(c);
  std::vector<float> shares;
  for (std::size_t outer = 0; outer < before.outer; ++outer) {
    for (std::size_t c = 0; c < before.channels; ++c) {
      shares.resize(copies[c].size());
      for (std::size_t i = 0; i < before.rest; ++i) {
        share_out(from[at(before, outer, c, i)], shares, rng);
        for (std::size_t k = 0; k < shares.size(); ++k)
          to[at(after, outer, copies[c][k], i)] = shares[k];
      }
    }
  }
  return Tensor::from(shape, to);
}

}  // namespace

Workload resized_workload(const Graph& graph, std::span<const WidthGroup> groups,
                          std::span<const std::int64_t> widths) {
  TESSERA_CHECK(groups.size() == widths.size(), "{} groups, {} widths", groups.size(),
                widths.size());
  Graph resized = graph;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    TESSERA_CHECK(widths[i] > 0, "group {}: width {}", groups[i].name, widths[i]);
    resize_shapes(resized, groups[i], widths[i]);
  }
  return workload(infer_shapes(std::move(resized)));
}

Graph widen(Graph graph, const WidthGroup& group, std::int64_t width, const Rng& rng) {
  TESSERA_CHECK(width >= group.width, "group {} has {} channels, asked for {}", group.name,
                group.width, width);
  if (width == group.width)
    return graph;
  const std::vector<std::int64_t> sources =
      copied_channels(group.width, width, rng.split("copies"));
  resize_shapes(graph, group, width);
  for (const WidthAxis& axis : group.axes) {
    Value& value = graph.value(axis.value);
    value.constant = widened(*value.constant, axis, sources,
                             rng.split("shares").split(value.name).split(axis.axis));
  }
  graph = infer_shapes(std::move(graph));
  check_verified(graph, "widen");
  return graph;
}

Graph widen(Graph graph, std::span<const WidthGroup> groups, std::span<const std::int64_t> widths,
            const Rng& rng) {
  TESSERA_CHECK(groups.size() == widths.size(), "{} groups, {} widths", groups.size(),
                widths.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    graph = widen(std::move(graph), groups[i], widths[i], rng.split(groups[i].name));
  return graph;
}

}  // namespace tessera::ir
