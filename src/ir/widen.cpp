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
    const std::int64_t each = axis.outer * axis.inner;
    TESSERA_CHECK(size == group.width * each, "group {}: axis {} of '{}' has {} elements",
                  group.name, axis.axis, graph.value(axis.value).name, size);
    size = width * each;
  }
  for (const NodeId id : group.depthwise) {
    auto& conv = std::get<Conv>(graph.node(id).op);
    conv.groups = conv.groups / group.width * width;
  }
  for (const StatedSize& stated : group.sizes) {
    Node& node = graph.node(stated.node);
    if (auto* reshape = std::get_if<Reshape>(&node.op)) {
      std::int64_t& size = reshape->sizes.at(stated.index);
      size = size / group.width * width;
      continue;
    }
    const ValueId stands = node.inputs.at(1);
    const Tensor shape = *graph.value(stands).constant;
    const auto old = shape.values<std::int64_t>();
    std::vector<std::int64_t> sizes(old.begin(), old.end());
    sizes.at(stated.index) = sizes.at(stated.index) / group.width * width;
    const Tensor changed = Tensor::from(shape.shape(), sizes);
    if (graph.consumers(stands).size() == 1) {
      graph.value(stands).constant = changed;
    } else {
      // Others state their sizes by it, too.
      const std::string name = graph.value(stands).name + "." + node.name;
      graph.node(stated.node).inputs[1] = graph.add_constant(name, changed);
    }
  }
}

// `group` after `other` has got `width` channels, where the two share an axis: heads and the width
// of each.
void follow(WidthGroup& group, const WidthGroup& other, std::int64_t width) {
  for (WidthAxis& axis : group.axes) {
    const auto shared = std::ranges::find_if(other.axes, [&](const WidthAxis& a) {
      return a.value == axis.value && a.axis == axis.axis;
    });
    if (shared == other.axes.end())
      continue;
    const std::int64_t each = group.width * axis.inner;
    if (shared->inner < each) {
      axis.inner = axis.inner / other.width * width;
      continue;
    }
    axis.outer = axis.outer / other.width * width;
    // What is zeroed does not depend on which of the other's channels it is in.
    const std::int64_t between = shared->inner / each;
    std::vector<std::int64_t> zeroed;
    for (const std::int64_t block : axis.zeroed) {
      if (block / between % other.width != 0)
        continue;
      const std::int64_t before = block / between / other.width;
      for (std::int64_t channel = 0; channel < width; ++channel)
        zeroed.push_back((before * width + channel) * between + block % between);
    }
    axis.zeroed = std::move(zeroed);
  }
}

// Calls change(group, width) for one after another, each as it stands after those before.
template <typename Change>
void one_by_one(std::span<const WidthGroup> groups, std::span<const std::int64_t> widths,
                const Change& change) {
  TESSERA_CHECK(groups.size() == widths.size(), "{} groups, {} widths", groups.size(),
                widths.size());
  std::vector<WidthGroup> current(groups.begin(), groups.end());
  for (std::size_t i = 0; i < current.size(); ++i) {
    TESSERA_CHECK(widths[i] > 0, "group {}: width {}", current[i].name, widths[i]);
    change(current[i], widths[i]);
    for (std::size_t later = i + 1; later < current.size(); ++later)
      follow(current[later], current[i], widths[i]);
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
  l.channels /= static_cast<std::size_t>(axis.outer * axis.inner);
  l.outer *= static_cast<std::size_t>(axis.outer);
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
  shape[axis.axis] = static_cast<std::int64_t>(sources.size()) * axis.outer * axis.inner;
  const Layout before = layout(old.shape(), axis);
  const Layout after = layout(shape, axis);
  const auto from = old.values<float>();
  std::vector<float> to(after.outer * after.channels * after.rest);
  const auto at = [](const Layout& l, std::size_t outer, std::size_t channel, std::size_t i) {
    return (outer * l.channels + channel) * l.rest + i;
  };
  if (!axis.summed) {
    for (std::size_t outer = 0; outer < after.outer; ++outer) {
      const auto block = static_cast<std::int64_t>(outer % static_cast<std::size_t>(axis.outer));
      const bool zeroed = std::ranges::find(axis.zeroed, block) != axis.zeroed.end();
      for (std::size_t c = 0; c < (zeroed ? before.channels : after.channels); ++c) {
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
  Graph resized = graph;
  one_by_one(groups, widths, [&](const WidthGroup& group, std::int64_t width) {
    resize_shapes(resized, group, width);
  });
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
  one_by_one(groups, widths, [&](const WidthGroup& group, std::int64_t width) {
    graph = widen(std::move(graph), group, width, rng.split(group.name));
  });
  return graph;
}

}  // namespace tessera::ir
