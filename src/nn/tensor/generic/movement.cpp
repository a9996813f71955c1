// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include <torch/autograd.h>

#include "tessera/nn/tensor/bridge.h"

#include "kernel.h"

namespace tessera::nn {
namespace {

using Sizes = std::vector<std::int64_t>;

Tensor indices_within(const Tensor& indices, std::int64_t size) {
  const Tensor wide = indices.to(torch::kInt64);
  return torch::where(wide < 0, wide + size, wide);
}

Tensors compress(const KernelCall& call) {
  const Tensor kept = call.in(1).nonzero().reshape({-1});
  if (!ir::has_attribute(call.op, "axis"))
    return {call.in(0).reshape({-1}).index_select(0, kept)};
  return {call.in(0).index_select(call.axis(0, call.in(0).dim()), kept)};
}

Tensors concat(const KernelCall& call) {
  return {torch::cat(call.inputs, call.axis(1, call.in(0).dim()))};
}

Tensors constant_of_shape(const KernelCall& call) {
  const auto found = call.op.attributes.find("value");
  const Tensor value = found == call.op.attributes.end()
                           ? torch::zeros({1})
                           : to_torch(std::get<ir::Tensor>(found->second));
  return {value.to(call.in(0).device()).reshape({}).expand(call.values(0)).contiguous()};
}

Tensors depth_to_space(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t b = call.integer("blocksize", 1);
  const std::int64_t n = x.size(0), c = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
  const Tensor blocks = call.text("mode", "DCR") == "DCR"
                            ? x.reshape({n, b, b, c, h, w}).permute({0, 3, 4, 1, 5, 2})
                            : x.reshape({n, c, b, b, h, w}).permute({0, 1, 4, 2, 5, 3});
  return {blocks.reshape({n, c, h * b, w * b})};
}

Tensors space_to_depth(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t b = call.integer("blocksize", 1);
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
  return {x.reshape({n, c, h, b, w, b}).permute({0, 3, 5, 1, 2, 4}).reshape({n, c * b * b, h, w})};
}

Tensors expand(const KernelCall& call) {
  const Tensor& x = call.in(0);
  Sizes target = call.values(1);
  // Broadcasting both ways: a target of 1 keeps the input's size.
  while (static_cast<std::int64_t>(target.size()) < x.dim())
    target.insert(target.begin(), 1);
  for (std::int64_t i = 1; i <= x.dim(); ++i) {
    std::int64_t& size = target[target.size() - static_cast<std::size_t>(i)];
    size = size == 1 ? x.size(-i) : size;
  }
  return {x.expand(target).contiguous()};
}

Tensors eye_like(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor rows = torch::arange(x.size(0), x.device()).unsqueeze(1);
  const Tensor columns = torch::arange(x.size(1), x.device()).unsqueeze(0);
  return {(columns - rows == call.integer("k", 0)).to(call.output_type())};
}

Tensors flatten(const KernelCall& call) {
  return {call.in(0).reshape(*call.graph.value(call.node.outputs[0]).shape)};
}

Tensors gather(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor& given = call.in(1);
  const std::int64_t axis = call.axis(0, x.dim());
  const Tensor picked = x.index_select(axis, indices_within(given, x.size(axis)).reshape({-1}));
  Sizes shape(x.sizes().begin(), x.sizes().begin() + axis);
  shape.insert(shape.end(), given.sizes().begin(), given.sizes().end());
  shape.insert(shape.end(), x.sizes().begin() + axis + 1, x.sizes().end());
  return {picked.reshape(shape)};
}

Tensors gather_elements(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t axis = call.axis(0, x.dim());
  return {x.gather(axis, indices_within(call.in(1), x.size(axis)))};
}

// Tuples of indices into the dimensions of x from `first` on, as one index list per dimension.
std::vector<Tensor> index_lists(const Tensor& x, const Tensor& tuples, std::int64_t first) {
  std::vector<Tensor> lists;
  for (std::int64_t i = 0; i < tuples.size(-1); ++i)
    lists.push_back(indices_within(tuples.select(-1, i), x.size(first + i)));
  return lists;
}

Tensors gather_nd(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor& tuples = call.in(1);
  const std::int64_t batch = call.integer("batch_dims", 0);
  std::vector<Tensor> lists = index_lists(x, tuples, batch);
  // Batch dimensions are indexed by their own position.
  std::vector<Tensor> all;
  for (std::int64_t i = 0; i < batch; ++i) {
    Sizes shape(static_cast<std::size_t>(tuples.dim() - 1), 1);
    shape[static_cast<std::size_t>(i)] = x.size(i);
    all.push_back(torch::arange(x.size(i), x.device()).reshape(shape));
  }
  all.insert(all.end(), lists.begin(), lists.end());
  c10::List<c10::optional<Tensor>> list;
  for (const Tensor& entry : all)
    list.push_back(entry);
  return {torch::index(x, list)};
}

Tensors nonzero(const KernelCall& call) {
  const Tensor& x = call.in(0);
  return {x.dim() == 0 ? x.reshape({1}).nonzero().slice(1, 0, 0).t().contiguous()
                       : x.nonzero().t().contiguous()};
}

Tensors one_hot(const KernelCall& call) {
  const Tensor& given = call.in(0);
  const std::int64_t depth = call.in(1).reshape({-1})[0].to(torch::kInt64).item<std::int64_t>();
  const std::int64_t axis = call.axis(-1, given.dim() + 1);
  const Tensor index = indices_within(given, depth).unsqueeze(axis);
  Sizes shape(static_cast<std::size_t>(given.dim()) + 1, 1);
  shape[static_cast<std::size_t>(axis)] = depth;
  const Tensor hot = index == torch::arange(depth, given.device()).reshape(shape);
  const Tensor values = call.in(2).reshape({-1});
  return {torch::where(hot, values[1], values[0])};
}

// The elements of the padded axis, by their index in the input.
Tensor padded_index(std::int64_t size, std::int64_t before, std::int64_t after,
                    const std::string& mode, torch::Device device) {
  const Tensor at =
      torch::arange(-before, size + after, torch::dtype(torch::kInt64).device(device));
  if (mode == "edge")
    return torch::clamp(at, 0, size - 1);
  if (mode == "wrap")
    return torch::remainder(at, size);
  const std::int64_t period = 2 * (size - 1);  // reflect
  const Tensor within = torch::remainder(at, std::max<std::int64_t>(period, 1));
  return torch::where(within < size, within, period - within);
}

Tensors pad(const KernelCall& call) {
  Tensor x = call.in(0);
  const Sizes pads = *call.list("pads", 1);
  const std::string mode = call.text("mode", "constant");
  std::vector<std::int64_t> axes;
  if (call.has(3)) {
    axes = call.values(3);
  } else {
    axes.resize(static_cast<std::size_t>(x.dim()));
    std::iota(axes.begin(), axes.end(), 0);
  }
  Sizes last_first(static_cast<std::size_t>(2 * x.dim()), 0);  // LibTorch's order
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + x.dim() : axes[i];
    const std::int64_t before = pads[i];
    const std::int64_t after = pads[i + axes.size()];
    if (mode == "constant") {
      last_first[static_cast<std::size_t>(2 * (x.dim() - 1 - axis))] = before;
      last_first[static_cast<std::size_t>(2 * (x.dim() - 1 - axis) + 1)] = after;
    } else if (before != 0 || after != 0) {
      x = x.index_select(axis, padded_index(x.size(axis), before, after, mode, x.device()));
    }
  }
  if (mode != "constant")
    return {x};
  const double value = call.has(2) && call.in(2).numel() == 1
                           ? call.in(2).reshape({}).to(torch::kFloat64).item<double>()
                           : call.real("value", 0);
  return {torch::constant_pad_nd(x, last_first, value)};
}

Tensors range(const KernelCall& call) {
  const std::int64_t steps = call.graph.value(call.node.outputs[0]).shape->at(0);
  const Tensor& start = call.in(0);
  const Tensor index = torch::arange(steps, torch::dtype(torch::kInt64).device(start.device()));
  return {(start.reshape({1}) + index.to(start.scalar_type()) * call.in(2).reshape({1}))
              .to(start.scalar_type())};
}

Tensors reshape(const KernelCall& call) {
  const Tensor& x = call.in(0);
  Sizes target = call.values(1);
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && call.integer("allowzero", 0) == 0)
      target[i] = x.size(static_cast<std::int64_t>(i));
  }
  return {x.reshape(target)};
}

Tensors reverse_sequence(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t batch_axis = call.integer("batch_axis", 1);
  const Tensor columns = batch_axis == 1 ? x : x.transpose(0, 1);  // [time, batch, ..]
  const Tensor time = torch::arange(columns.size(0), x.device()).unsqueeze(1);
  const Tensor lengths = call.in(1).to(torch::kInt64).unsqueeze(0);
  Tensor index = torch::where(time < lengths, lengths - 1 - time, time);
  Sizes shape(static_cast<std::size_t>(columns.dim()), 1);
  shape[0] = index.size(0);
  shape[1] = index.size(1);
  index = index.reshape(shape).expand(columns.sizes());
  const Tensor reversed = columns.gather(0, index);
  return {batch_axis == 1 ? reversed : reversed.transpose(0, 1)};
}

Tensors scatter_elements(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t axis = call.axis(0, x.dim());
  const Tensor index = indices_within(call.in(1), x.size(axis));
  const Tensor& updates = call.in(2);
  const std::string reduction = call.text("reduction", "none");
  if (reduction == "none")
    return {x.scatter(axis, index, updates)};
  if (reduction == "add")
    return {x.scatter_add(axis, index, updates)};
  const std::string name = reduction == "mul" ? "prod" : reduction == "max" ? "amax" : "amin";
  return {x.scatter_reduce(axis, index, updates, name, /*include_self=*/true)};
}

Tensors scatter_nd(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor& tuples = call.in(1);
  const std::string reduction = call.text("reduction", "none");
  const std::int64_t depth = tuples.size(-1);
  // One index for the dimensions that the tuples name, taken together.
  Tensor flat = torch::zeros(Sizes(tuples.sizes().begin(), tuples.sizes().end() - 1),
                             torch::dtype(torch::kInt64).device(x.device()));
  std::int64_t rows = 1;
  for (std::int64_t i = 0; i < depth; ++i) {
    flat = flat * x.size(i) + indices_within(tuples.select(-1, i), x.size(i));
    rows *= x.size(i);
  }
  const Tensor data = x.reshape({rows, -1});
  const Tensor index = flat.reshape({-1, 1}).expand({flat.numel(), data.size(1)});
  const Tensor updates = call.in(2).reshape({flat.numel(), data.size(1)});
  Tensor result;
  if (reduction == "none")
    result = data.scatter(0, index, updates);
  else if (reduction == "add")
    result = data.scatter_add(0, index, updates);
  else
    result = data.scatter_reduce(0, index, updates,
                                 reduction == "mul"   ? "prod"
                                 : reduction == "max" ? "amax"
                                                      : "amin",
                                 /*include_self=*/true);
  return {result.reshape(x.sizes())};
}

Tensors slice(const KernelCall& call) {
  Tensor x = call.in(0);
  const Sizes starts = *call.list("starts", 1);
  const Sizes ends = *call.list("ends", 2);
  Sizes all(starts.size());
  std::iota(all.begin(), all.end(), 0);
  const Sizes axes = call.list("axes", 3).value_or(all);
  const Sizes steps = call.list("steps", 4).value_or(Sizes(starts.size(), 1));
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + x.dim() : axes[i];
    const std::int64_t size = x.size(axis);
    const auto within = [&](std::int64_t at, std::int64_t low, std::int64_t high) {
      at = at < 0 ? std::max(at, -size - 1) + size : at;
      return std::clamp(at, low, high);
    };
    if (steps[i] > 0) {
      x = x.slice(axis, within(starts[i], 0, size), within(ends[i], 0, size),
                  std::min(steps[i], std::max<std::int64_t>(size, 1)));
      continue;
    }
    // LibTorch has no negative steps.
    const std::int64_t first = within(starts[i], -1, size - 1);
    const std::int64_t last = within(ends[i], -1, size - 1);
    const std::int64_t step = -std::max(steps[i], -std::max<std::int64_t>(size, 1));
    const std::int64_t count = first > last ? (first - last - 1) / step + 1 : 0;
    const Tensor index =
        first - step * torch::arange(count, torch::dtype(torch::kInt64).device(x.device()));
    x = x.index_select(axis, index);
  }
  return {x};
}

Tensors split(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t axis = call.axis(0, x.dim());
  Sizes sizes;
  for (const ir::ValueId output : call.node.outputs)
    sizes.push_back((*call.graph.value(output).shape)[static_cast<std::size_t>(axis)]);
  return x.split_with_sizes(sizes, axis);
}

Tensors squeeze(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const auto axes = call.list("axes", 1);
  Sizes shape;
  for (std::int64_t i = 0; i < x.dim(); ++i) {
    const bool named =
        axes && (std::ranges::count(*axes, i) + std::ranges::count(*axes, i - x.dim())) > 0;
    if (axes ? !named : x.size(i) != 1)
      shape.push_back(x.size(i));
  }
  return {x.reshape(shape)};
}

Tensors unsqueeze(const KernelCall& call) {
  Tensor x = call.in(0);
  Sizes axes = *call.list("axes", 1);
  const auto rank = x.dim() + static_cast<std::int64_t>(axes.size());
  for (std::int64_t& axis : axes)
    axis += axis < 0 ? rank : 0;
  std::ranges::sort(axes);
  for (const std::int64_t axis : axes)
    x = x.unsqueeze(axis);
  return {x};
}

Tensors tile(const KernelCall& call) {
  return {call.in(0).repeat(call.values(1))};
}

Tensors transpose(const KernelCall& call) {
  Sizes reversed(static_cast<std::size_t>(call.in(0).dim()));
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return {call.in(0).permute(ir::integers(call.op, "perm", reversed))};
}

Tensors trilu(const KernelCall& call) {
  const std::int64_t k = call.has(1) ? call.values(1).at(0) : 0;
  return {call.integer("upper", 1) != 0 ? torch::triu(call.in(0), k) : torch::tril(call.in(0), k)};
}

// Unique values (or slices along an axis) in order, with the index of each one's first occurrence,
// each element's index among them, and how often each occurs; unsorted, in order of occurrence.
Tensors unique(const KernelCall& call) {
  const bool flat = !ir::has_attribute(call.op, "axis");
  const Tensor x = flat ? call.in(0).reshape({-1}) : call.in(0);
  const std::int64_t axis = flat ? 0 : call.axis(0, x.dim());
  auto [values, inverse, counts] = torch::unique_dim(x, axis, true, true, true);
  const std::int64_t found = counts.size(0);
  const Tensor position = torch::arange(x.size(axis), torch::kInt64);
  Tensor first = torch::full({found}, x.size(axis), torch::kInt64)
                     .scatter_reduce(0, inverse, position, "amin", true);
  if (call.integer("sorted", 1) == 0) {
    const Tensor order = torch::argsort(first);
    const Tensor rank = torch::argsort(order);
    values = values.index_select(axis, order);
    counts = counts.index_select(0, order);
    first = first.index_select(0, order);
    inverse = rank.index_select(0, inverse);
  }
  return {values, first, inverse, counts};
}

constexpr GenericKernel kKernels[] = {
    {"Compress", compress},
    {"Concat", concat},
    {"ConstantOfShape", constant_of_shape},
    {"DepthToSpace", depth_to_space},
    {"Expand", expand},
    {"EyeLike", eye_like},
    {"Flatten", flatten},
    {"Gather", gather},
    {"GatherElements", gather_elements},
    {"GatherND", gather_nd},
    {"NonZero", nonzero},
    {"OneHot", one_hot},
    {"Pad", pad},
    {"Range", range},
    {"Reshape", reshape},
    {"ReverseSequence", reverse_sequence},
    {"Scatter", scatter_elements},
    {"ScatterElements", scatter_elements},
    {"ScatterND", scatter_nd},
    {"Slice", slice},
    {"SpaceToDepth", space_to_depth},
    {"Split", split},
    {"Squeeze", squeeze},
    {"Tile", tile},
    {"Transpose", transpose},
    {"Trilu", trilu},
    {"Unique", unique},
    {"Unsqueeze", unsqueeze},
};

}  // namespace

std::span<const GenericKernel> movement_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
