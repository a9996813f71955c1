// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;
using Sizes = std::vector<std::int64_t>;

Shape reshape_target(const GenericCall& call) {
  const Shape& x = call.shape(0);
  Shape y = call.constant_integers(1, "shape");
  const std::string asked = to_string(y);
  const bool allow_zero = call.integer("allowzero", 0) != 0;
  std::int64_t known = 1;
  std::optional<std::size_t> rest;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (y[i] == 0 && !allow_zero) {
      call.require(i < x.size(), "shape {} cannot become {}", to_string(x), asked);
      y[i] = x[i];
    }
    if (y[i] == -1 && !rest) {
      rest = i;
      continue;
    }
    const auto product = checked_element_count({known, y[i]});
    call.require(product.has_value(), "shape {} cannot become {}", to_string(x), asked);
    known = *product;
  }
  const std::int64_t count = element_count(x);
  if (rest) {
    call.require(known != 0 && count % known == 0, "shape {} cannot become {}", to_string(x),
                 asked);
    y[*rest] = count / known;
  } else {
    call.require(known == count, "shape {} cannot become {}", to_string(x), asked);
  }
  return y;
}

Outputs reshape(const GenericCall& call) {
  return {{reshape_target(call), call.dtype(0)}};
}

Outputs flatten(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::int64_t axis = call.integer("axis", 1);
  const auto rank = static_cast<std::int64_t>(x.size());
  call.require(axis >= -rank && axis <= rank, "axis is {}, allowed: {} to {}", axis, -rank, rank);
  const auto at = x.begin() + (axis < 0 ? axis + rank : axis);
  return {
      {{element_count(Shape(x.begin(), at)), element_count(Shape(at, x.end()))}, call.dtype(0)}};
}

Outputs expand(const GenericCall& call) {
  const Shape target = call.constant_integers(1, "shape");
  std::ranges::for_each(target, [&](std::int64_t size) { call.size(size); });
  return {{broadcast(call, call.shape(0), target), call.dtype(0)}};
}

// Since the batch is 1, a target of 1 there would hold for batch 1 alone; 1 broadcasts to any.
bool expand_batch(const GenericCall& call) {
  const Shape target = call.constant_integers(1, "shape");
  return target.size() < call.rank(0) || (target.size() == call.rank(0) && target[0] == 1);
}

Outputs tile(const GenericCall& call) {
  Shape y = call.shape(0);
  const auto repeats = call.constant_integers(1, "repeats");
  call.require(repeats.size() == y.size(), "{} repeats for {} dimensions", repeats.size(),
               y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto product = checked_element_count({y[i], repeats[i]});
    call.require(product.has_value(), "repeats {} are out of range", to_string(repeats));
    y[i] = *product;
  }
  return {{y, call.dtype(0)}};
}

bool tile_batch(const GenericCall& call) {
  return call.constant_integers(1, "repeats")[0] == 1;
}

Outputs transpose(const GenericCall& call) {
  const Shape& x = call.shape(0);
  Sizes order(x.size());
  std::iota(order.rbegin(), order.rend(), 0);
  const Sizes perm = integers(call.op, "perm", order);
  call.require(std::ranges::is_permutation(perm, order), "perm {} is not an order of {} dimensions",
               to_string(perm), x.size());
  Shape y;
  for (const std::int64_t axis : perm)
    y.push_back(x[static_cast<std::size_t>(axis)]);
  return {{y, call.dtype(0)}};
}

bool transpose_batch(const GenericCall& call) {
  const Sizes perm = integers(call.op, "perm", {});
  return !perm.empty() && perm[0] == 0;
}

Outputs concat(const GenericCall& call) {
  Shape y = call.shape(0);
  const std::size_t axis = call.axis_attribute(1, y.size());
  for (std::size_t i = 1; i < call.inputs(); ++i) {
    const Shape& x = *call.nth_input(i).shape;
    bool fits = x.size() == y.size() && call.nth_input(i).dtype == call.dtype(0);
    for (std::size_t k = 0; fits && k < y.size(); ++k)
      fits = k == axis || x[k] == y[k];
    call.require(fits, "inputs {} {} and {} {} differ outside axis {}", name(call.dtype(0)),
                 to_string(call.shape(0)), name(call.nth_input(i).dtype), to_string(x), axis);
    y[axis] += x[axis];
  }
  return {{y, call.dtype(0)}};
}

bool concat_batch(const GenericCall& call) {
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    if (call.nth_input(i).constant)
      return false;
  }
  return call.axis_attribute(1, call.rank(0)) != 0;
}

bool axis_behind_batch(const GenericCall& call) {
  return call.axis_attribute(0, call.rank(0)) != 0;
}

Outputs split(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::size_t axis = call.axis_attribute(0, x.size());
  const auto parts = static_cast<std::int64_t>(call.outputs());
  auto sizes = call.list("split", 1);
  if (!sizes) {
    const std::int64_t each = (x[axis] + parts - 1) / parts;
    sizes.emplace(static_cast<std::size_t>(parts), each);
    sizes->back() = x[axis] - each * (parts - 1);
  }
  call.require(sizes->size() == call.outputs() &&
                   std::ranges::all_of(*sizes, [](std::int64_t s) { return s >= 0; }) &&
                   std::accumulate(sizes->begin(), sizes->end(), std::int64_t{0}) == x[axis],
               "parts {} for {} outputs do not make up the {} of axis {}", to_string(*sizes), parts,
               x[axis], axis);
  Outputs outputs;
  for (const std::int64_t size : *sizes) {
    Shape y = x;
    y[axis] = size;
    outputs.push_back({y, call.dtype(0)});
  }
  return outputs;
}

struct SlicePart {
  std::size_t axis;
  std::int64_t count;
};

std::vector<SlicePart> slice_parts(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const auto starts = call.list("starts", 1).value_or(Sizes{});
  const auto ends = call.list("ends", 2).value_or(Sizes{});
  Sizes all(starts.size());
  std::iota(all.begin(), all.end(), 0);
  const auto axes = call.list("axes", 3).value_or(all);
  const auto steps = call.list("steps", 4).value_or(Sizes(starts.size(), 1));
  call.require(
      ends.size() == starts.size() && axes.size() == starts.size() && steps.size() == starts.size(),
      "starts, ends, axes and steps differ in number");
  std::vector<SlicePart> parts;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t axis = call.axis(axes[i], x.size());
    const std::int64_t size = x[axis];
    call.require(steps[i] != 0, "a step of 0, allowed: others");
    const bool forward = steps[i] > 0;
    const auto within = [&](std::int64_t at) {
      at = at < 0 ? std::max(at, -size - 1) + size : at;
      return forward ? std::clamp<std::int64_t>(at, 0, size)
                     : std::clamp<std::int64_t>(at, -1, size - 1);
    };
    const std::int64_t first = within(starts[i]);
    const std::int64_t span = forward ? within(ends[i]) - first : first - within(ends[i]);
    const std::int64_t step = forward ? steps[i] : -std::max(steps[i], -INT64_MAX);
    parts.push_back({axis, span <= 0 ? 0 : (span - 1) / step + 1});
  }
  return parts;
}

Outputs slice(const GenericCall& call) {
  Shape y = call.shape(0);
  for (const SlicePart& part : slice_parts(call))
    y[part.axis] = part.count;
  return {{y, call.dtype(0)}};
}

bool slice_batch(const GenericCall& call) {
  return std::ranges::none_of(slice_parts(call), [](const SlicePart& p) { return p.axis == 0; });
}

Outputs gather(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& indices = call.shape(1);
  const auto axis = static_cast<std::ptrdiff_t>(call.axis_attribute(0, x.size()));
  Shape y(x.begin(), x.begin() + axis);
  y.insert(y.end(), indices.begin(), indices.end());
  y.insert(y.end(), x.begin() + axis + 1, x.end());
  return {{y, call.dtype(0)}};
}

// Rows of a constant table for each index of a batch, or the same elements of each image.
bool gather_batch(const GenericCall& call) {
  const bool behind = call.axis_attribute(0, call.rank(0)) != 0;
  return call.is_constant(0) ? !behind && call.rank(1) > 0 : behind && call.is_constant(1);
}

Outputs gather_elements(const GenericCall& call) {
  const std::size_t axis = call.axis_attribute(0, call.rank(0));
  call.require(call.rank(1) == call.rank(0), "data {} and indices {} differ in rank",
               to_string(call.shape(0)), to_string(call.shape(1)));
  for (std::size_t i = 0; i < call.rank(0); ++i) {
    call.require(i == axis || call.shape(1)[i] <= call.shape(0)[i],
                 "indices {} are larger than data {}", to_string(call.shape(1)),
                 to_string(call.shape(0)));
  }
  return {{call.shape(1), call.dtype(0)}};
}

Outputs gather_nd(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& indices = call.shape(1);
  const std::int64_t batch = call.integer("batch_dims", 0);
  call.require(!indices.empty() && batch >= 0 &&
                   batch < static_cast<std::int64_t>(std::min(x.size(), indices.size())),
               "batch_dims is {} for data {} and indices {}", batch, to_string(x),
               to_string(indices));
  const std::int64_t depth = batch + indices.back();
  call.require(indices.back() >= 1 && depth <= static_cast<std::int64_t>(x.size()),
               "indices {} reach beyond data {}", to_string(indices), to_string(x));
  for (std::int64_t i = 0; i < batch; ++i) {
    const auto k = static_cast<std::size_t>(i);
    call.require(x[k] == indices[k], "data {} and indices {} differ in batch dimension {}",
                 to_string(x), to_string(indices), i);
  }
  Shape y(indices.begin(), indices.end() - 1);
  y.insert(y.end(), x.begin() + depth, x.end());
  return {{y, call.dtype(0)}};
}

Outputs scatter_elements(const GenericCall& call) {
  call.axis_attribute(0, call.rank(0));
  call.require(call.shape(1) == call.shape(2) && call.rank(1) == call.rank(0),
               "indices {} and updates {} do not fit data {}", to_string(call.shape(1)),
               to_string(call.shape(2)), to_string(call.shape(0)));
  return same_as_first(call);
}

Outputs scatter_nd(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& indices = call.shape(1);
  const std::int64_t depth = indices.empty() ? 0 : indices.back();
  call.require(depth >= 1 && depth <= static_cast<std::int64_t>(x.size()),
               "indices {} do not fit data {}", to_string(indices), to_string(x));
  Shape updates(indices.begin(), indices.end() - 1);
  updates.insert(updates.end(), x.begin() + depth, x.end());
  call.require(call.shape(2) == updates, "updates have shape {}, allowed: {}",
               to_string(call.shape(2)), to_string(updates));
  return same_as_first(call);
}

Sizes all_pads(const GenericCall& call) {
  const std::size_t rank = call.rank(0);
  const auto pads = call.list("pads", 1);
  call.require(pads.has_value(), "pads are missing");
  std::vector<std::size_t> axes;
  if (call.has(3)) {
    for (const std::int64_t axis : call.constant_integers(3, "axes"))
      axes.push_back(call.axis(axis, rank));
  } else {
    for (std::size_t i = 0; i < rank; ++i)
      axes.push_back(i);
  }
  call.require(pads->size() == 2 * axes.size(), "{} pads for {} axes, allowed: two for each",
               pads->size(), axes.size());
  Sizes all(2 * rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    all[axes[i]] = (*pads)[i];
    all[axes[i] + rank] = (*pads)[i + axes.size()];
  }
  return all;
}

Outputs pad(const GenericCall& call) {
  constexpr std::int64_t kMost = 1 << 20;
  Shape y = call.shape(0);
  const Sizes pads = all_pads(call);
  const std::string mode = text(call.op, "mode", "constant");
  call.require(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap",
               "mode is '{}', allowed: constant, reflect, edge, wrap", mode);
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (const std::int64_t amount : {pads[i], pads[i + y.size()]}) {
      call.require(amount >= -kMost && amount <= kMost, "a pad of {}, allowed: {} to {}", amount,
                   -kMost, kMost);
      call.require(mode == "constant" || amount <= 0 || y[i] > (mode == "reflect" ? 1 : 0),
                   "{} pads need elements, the input is {}", mode, to_string(call.shape(0)));
    }
    y[i] += pads[i] + pads[i + y.size()];
    call.require(y[i] >= 0, "pads leave nothing of input {}", to_string(call.shape(0)));
  }
  return {{y, call.dtype(0)}};
}

bool pad_batch(const GenericCall& call) {
  const Sizes pads = all_pads(call);
  return only_first_is_activation(call) && pads[0] == 0 && pads[call.rank(0)] == 0;
}

Outputs squeeze(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const auto axes = call.list("axes", 1);
  std::vector<bool> drop(x.size(), false);
  for (std::size_t i = 0; i < x.size(); ++i)
    drop[i] = !axes && x[i] == 1;
  for (const std::int64_t axis : axes.value_or(Sizes{})) {
    const std::size_t i = call.axis(axis, x.size());
    call.require(x[i] == 1, "axis {} has size {}, allowed: 1", axis, x[i]);
    drop[i] = true;
  }
  Shape y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!drop[i])
      y.push_back(x[i]);
  }
  return {{y, call.dtype(0)}};
}

bool squeeze_batch(const GenericCall& call) {
  const auto axes = call.list("axes", 1);
  return axes && std::ranges::none_of(
                     *axes, [&](std::int64_t axis) { return call.axis(axis, call.rank(0)) == 0; });
}

Outputs unsqueeze(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const auto axes = call.list("axes", 1);
  call.require(axes.has_value(), "axes are missing");
  std::vector<bool> added(x.size() + axes->size(), false);
  for (const std::int64_t axis : *axes) {
    const std::size_t i = call.axis(axis, added.size());
    call.require(!added[i], "axes {} name one twice", to_string(*axes));
    added[i] = true;
  }
  Shape y;
  std::size_t next = 0;
  for (const bool is_new : added)
    y.push_back(is_new ? 1 : x[next++]);
  return {{y, call.dtype(0)}};
}

bool unsqueeze_batch(const GenericCall& call) {
  const auto axes = call.list("axes", 1).value_or(Sizes{0});
  return std::ranges::none_of(
      axes, [&](std::int64_t axis) { return call.axis(axis, call.rank(0) + axes.size()) == 0; });
}

Outputs depth_to_space(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::int64_t b = call.integer("blocksize", 0);
  call.require(x.size() == 4 && b >= 1 && b < (1 << 20) && x[1] % (b * b) == 0,
               "input {} does not fit blocks of {}", to_string(x), b);
  return {{{x[0], x[1] / (b * b), x[2] * b, x[3] * b}, call.dtype(0)}};
}

Outputs space_to_depth(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::int64_t b = call.integer("blocksize", 0);
  call.require(x.size() == 4 && b >= 1 && b < (1 << 20) && x[2] % b == 0 && x[3] % b == 0,
               "input {} does not fit blocks of {}", to_string(x), b);
  return {{{x[0], x[1] * b * b, x[2] / b, x[3] / b}, call.dtype(0)}};
}

bool always(const GenericCall&) {
  return true;
}

Outputs constant_of_shape(const GenericCall& call) {
  const Shape shape = call.constant_integers(0, "shape");
  std::ranges::for_each(shape, [&](std::int64_t size) { call.size(size); });
  const auto found = call.op.attributes.find("value");
  if (found == call.op.attributes.end())
    return {{shape, DType::kFloat32}};
  const auto& value = std::get<Tensor>(found->second);
  call.require(value.elements() == 1, "value has {} elements, allowed: 1", value.elements());
  return {{shape, value.dtype()}};
}

Outputs eye_like(const GenericCall& call) {
  call.require(call.rank(0) == 2, "input has shape {}, allowed: two dimensions",
               to_string(call.shape(0)));
  if (!has_attribute(call.op, "dtype"))
    return same_as_first(call);
  const auto dtype = dtype_from_onnx(static_cast<int>(call.integer("dtype", 0)));
  call.require(dtype.has_value(), "dtype {} not supported", call.integer("dtype", 0));
  return {{call.shape(0), *dtype}};
}

Outputs one_hot(const GenericCall& call) {
  const Value& depth = call.value(1);
  call.require(depth.shape && element_count(*depth.shape) == 1, "depth is not one number");
  if (!depth.constant)
    throw NeedsConstant{1, "depth"};
  const double number = depth.dtype == DType::kFloat32
                            ? static_cast<double>(depth.constant->values<float>()[0])
                            : static_cast<double>(call.constant_integer(1, "depth"));
  call.require(number >= 0 && number <= 1e9, "depth is {}, allowed: 0 to 1e9", number);
  const auto classes = static_cast<std::int64_t>(number);
  Shape y = call.shape(0);
  const std::size_t axis = call.axis_attribute(-1, y.size() + 1);
  y.insert(y.begin() + static_cast<std::ptrdiff_t>(axis), classes);
  call.require(element_count(call.shape(2)) == 2, "values have shape {}, allowed: 2",
               to_string(call.shape(2)));
  return {{y, call.dtype(2)}};
}

Outputs range(const GenericCall& call) {
  const auto count = [&](const auto& of) {
    const double first = static_cast<double>(of(0, "start")[0]);
    const double last = static_cast<double>(of(1, "limit")[0]);
    const double step = static_cast<double>(of(2, "delta")[0]);
    call.require(step != 0 && std::isfinite(step), "a delta of {}, allowed: not 0", step);
    const double steps = std::ceil((last - first) / step);
    call.require(steps < 1e12, "{} steps are too many", steps);
    return static_cast<std::int64_t>(std::max(steps, 0.0));
  };
  for (const int i : {0, 1, 2})
    call.require(element_count(call.shape(i)) == 1 && call.dtype(i) == call.dtype(0),
                 "start, limit and delta are not single numbers of one type");
  const bool real = call.dtype(0) == DType::kFloat32;
  const std::int64_t steps =
      real ? count([&](int i, const char* what) { return call.constant_floats(i, what); })
           : count([&](int i, const char* what) { return call.constant_integers(i, what); });
  return {{{steps}, call.dtype(0)}};
}

Outputs reverse_sequence(const GenericCall& call) {
  const std::int64_t batch = call.integer("batch_axis", 1);
  const std::int64_t time = call.integer("time_axis", 0);
  call.require(call.rank(0) >= 2 && (batch == 0 || batch == 1) && time == 1 - batch,
               "batch_axis {} and time_axis {}, allowed: 0 and 1", batch, time);
  call.require(call.shape(1) == Shape{call.shape(0)[static_cast<std::size_t>(batch)]},
               "sequence_lens have shape {}", to_string(call.shape(1)));
  return same_as_first(call);
}

constexpr GenericRule kRules[] = {
    {"Compress", 2, 2, "axis:i"},
    {"Concat", 1, kAny, "axis:i", concat, nullptr, concat_batch},
    {"ConstantOfShape", 1, 1, "value:t", constant_of_shape},
    {"DepthToSpace", 1, 1, "blocksize:i mode:s", depth_to_space, nullptr, always},
    {"Expand", 2, 2, "", expand, nullptr, expand_batch},
    {"EyeLike", 1, 1, "dtype:i k:i", eye_like},
    {"Flatten", 1, 1, "axis:i", flatten},
    {"Gather", 2, 2, "axis:i", gather, nullptr, gather_batch},
    {"GatherElements", 2, 2, "axis:i", gather_elements},
    {"GatherND", 2, 2, "batch_dims:i", gather_nd},
    {"NonZero", 1, 1, ""},
    {"OneHot", 3, 3, "axis:i", one_hot},
    {"Pad", 1, 4, "mode:s pads:I value:f", pad, nullptr, pad_batch},
    {"Range", 3, 3, "", range},
    {"Reshape", 2, 2, "allowzero:i", reshape},
    {"ReverseSequence", 2, 2, "batch_axis:i time_axis:i", reverse_sequence},
    {"Scatter", 3, 3, "axis:i", scatter_elements},
    {"ScatterElements", 3, 3, "axis:i reduction:s", scatter_elements},
    {"ScatterND", 3, 3, "reduction:s", scatter_nd},
    {"Slice", 1, 5, "starts:I ends:I axes:I", slice, nullptr, slice_batch},
    {"SpaceToDepth", 1, 1, "blocksize:i", space_to_depth, nullptr, always},
    {"Split", 1, 2, "axis:i split:I num_outputs:i", split, nullptr, axis_behind_batch, kAny},
    {"Squeeze", 1, 2, "axes:I", squeeze, nullptr, squeeze_batch},
    {"Tile", 2, 2, "", tile, nullptr, tile_batch},
    {"Transpose", 1, 1, "perm:I", transpose, nullptr, transpose_batch},
    {"Unique", 1, 1, "axis:i sorted:i", nullptr, nullptr, nullptr, 4},
    {"Unsqueeze", 1, 2, "axes:I", unsqueeze, nullptr, unsqueeze_batch},
};

}  // namespace

std::span<const GenericRule> movement_rules() {
  return kRules;
}

}  // namespace tessera::ir
