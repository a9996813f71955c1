// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;
using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kMost = 1 << 20;  // of kernels, strides and pads

Shape spatial(const Shape& shape) {
  return {shape.begin() + 2, shape.end()};
}

void require_image(const GenericCall& call, const Shape& x) {
  call.require(x.size() >= 3, "input has shape {}, allowed: NxCx..", to_string(x));
}

Sizes checked_list(const GenericCall& call, const char* attribute, std::size_t count,
                   std::int64_t fallback, std::int64_t least) {
  const Sizes list = integers(call.op, attribute, Sizes(count, fallback));
  call.require(list.size() == count, "{} has {} values, allowed: {}", attribute, list.size(),
               count);
  for (const std::int64_t value : list)
    call.require(value >= least && value <= kMost, "{} is {}, allowed: {} to {}", attribute, value,
                 least, kMost);
  return list;
}

std::vector<std::int64_t> same_pads(const Sizes& totals, bool upper) {
  Sizes pads(2 * totals.size());
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const std::int64_t total = std::max<std::int64_t>(totals[i], 0);
    pads[i] = upper ? total / 2 : total - total / 2;
    pads[i + totals.size()] = total - pads[i];
  }
  return pads;
}

// Output sizes of a window that slides over `x`.
Shape slide(const GenericCall& call, const Shape& x, const Sizes& kernel) {
  const std::size_t n = x.size();
  const Sizes strides = checked_list(call, "strides", n, 1, 1);
  const Sizes dilations = checked_list(call, "dilations", n, 1, 1);
  checked_list(call, "pads", 2 * n, 0, 0);
  const std::string mode = text(call.op, "auto_pad", "NOTSET");
  call.require(mode == "NOTSET" || mode == "VALID" || mode == "SAME_UPPER" ||
                   mode == "SAME_LOWER" || mode.empty(),
               "auto_pad is {}, allowed: NOTSET, SAME_UPPER, SAME_LOWER, VALID", mode);
  const Sizes pads = window_pads(call.op, x, kernel);
  const bool ceil = call.integer("ceil_mode", 0) != 0;
  Shape y;
  for (std::size_t i = 0; i < n; ++i) {
    call.require(kernel[i] >= 1 && kernel[i] <= kMost, "a kernel of {}, allowed: 1 to {}",
                 kernel[i], kMost);
    const std::int64_t span = x[i] + pads[i] + pads[i + n] - dilations[i] * (kernel[i] - 1) - 1;
    call.require(span >= 0,
                 "a kernel of {} with dilation {} does not fit into {} with pads {} and {}",
                 kernel[i], dilations[i], x[i], pads[i], pads[i + n]);
    std::int64_t count = span / strides[i] + 1;
    // With ceil_mode a last window may reach beyond the padding, but must start before it ends.
    if (ceil && span % strides[i] != 0 && count * strides[i] < x[i] + pads[i])
      ++count;
    y.push_back(count);
  }
  return y;
}

Shape batch_and_channels(const Shape& x, std::int64_t channels, const Shape& rest) {
  Shape y{x[0], channels};
  y.insert(y.end(), rest.begin(), rest.end());
  return y;
}

Shape conv_shape(const GenericCall& call, const Shape& x, const Shape& w) {
  require_image(call, x);
  const std::int64_t groups = call.integer("group", 1);
  call.require(groups >= 1 && groups <= kMost, "group is {}, allowed: 1 to {}", groups, kMost);
  call.require(w.size() == x.size() && w[0] % groups == 0 && x[1] == w[1] * groups,
               "input {} does not fit weights {} in {} groups", to_string(x), to_string(w), groups);
  call.require(integers(call.op, "kernel_shape", spatial(w)) == spatial(w),
               "kernel_shape does not fit weights {}", to_string(w));
  return batch_and_channels(x, w[0], slide(call, spatial(x), spatial(w)));
}

Outputs conv(const GenericCall& call) {
  const Shape y = conv_shape(call, call.shape(0), call.shape(1));
  if (call.has(2)) {
    call.require(call.shape(2) == Shape{y[1]}, "bias has shape {}, allowed: {}",
                 to_string(call.shape(2)), y[1]);
  }
  return {{y, call.dtype(0)}};
}

Outputs conv_integer(const GenericCall& call) {
  return {{conv_shape(call, call.shape(0), call.shape(1)), DType::kInt32}};
}

// x, scale, zero point, w, scale, zero point, scale, zero point, bias
Outputs qlinear_conv(const GenericCall& call) {
  return {{conv_shape(call, call.shape(0), call.shape(3)), call.dtype(7)}};
}

// Each output sums over a filter; each input of a transposed convolution is spread over one.
template <int Weights>
std::int64_t conv_macs(const GenericCall& call) {
  const Shape& w = call.shape(Weights);
  return element_count(*call.output(0).shape) *
         (element_count(w) / std::max<std::int64_t>(w[0], 1));
}

std::int64_t conv_transpose_macs(const GenericCall& call) {
  const Shape& w = call.shape(1);
  return element_count(call.shape(0)) * (element_count(w) / std::max<std::int64_t>(w[0], 1));
}

Outputs conv_transpose(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& w = call.shape(1);
  require_image(call, x);
  const std::int64_t groups = call.integer("group", 1);
  call.require(groups >= 1 && groups <= kMost, "group is {}, allowed: 1 to {}", groups, kMost);
  call.require(w.size() == x.size() && x[1] == w[0] && w[0] % groups == 0,
               "input {} does not fit weights {} in {} groups", to_string(x), to_string(w), groups);
  const auto channels = checked_element_count({w[1], groups});
  call.require(channels.has_value(), "{} groups are too many", groups);
  const std::size_t n = x.size() - 2;
  const Sizes strides = checked_list(call, "strides", n, 1, 1);
  const Sizes dilations = checked_list(call, "dilations", n, 1, 1);
  const Sizes extra = checked_list(call, "output_padding", n, 0, 0);
  checked_list(call, "pads", 2 * n, 0, 0);
  if (has_attribute(call.op, "output_shape"))
    call.require(integers(call.op, "output_shape", {}).size() >= n, "output_shape is too short");
  const Sizes pads = transposed_pads(call.op, spatial(x), spatial(w));
  Shape y;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t size = strides[i] * (x[2 + i] - 1) + extra[i] +
                              (w[2 + i] - 1) * dilations[i] + 1 - pads[i] - pads[i + n];
    call.require(size > 0, "pads leave nothing of the output");
    y.push_back(size);
  }
  return {{batch_and_channels(x, *channels, y), call.dtype(0)}};
}

Outputs pool(const GenericCall& call) {
  const Shape& x = call.shape(0);
  require_image(call, x);
  call.require(has_attribute(call.op, "kernel_shape"), "kernel_shape is missing");
  const Sizes kernel = checked_list(call, "kernel_shape", x.size() - 2, 1, 1);
  const Shape y = batch_and_channels(x, x[1], slide(call, spatial(x), kernel));
  return {{y, call.dtype(0)}, {y, DType::kInt64}};
}

std::int64_t pool_work(const GenericCall& call) {
  const Sizes kernel = integers(call.op, "kernel_shape", {});
  return std::accumulate(kernel.begin(), kernel.end(), element_count(*call.output(0).shape),
                         std::multiplies<>());
}

Outputs global_pool(const GenericCall& call) {
  const Shape& x = call.shape(0);
  require_image(call, x);
  return {{batch_and_channels(x, x[1], Shape(x.size() - 2, 1)), call.dtype(0)}};
}

std::int64_t one_per_input(const GenericCall& call) {
  return element_count(call.shape(0));
}

bool always(const GenericCall&) {
  return true;
}

ResizePlan scaled_plan(const GenericCall& call, const Shape& x, const std::vector<float>& scales,
                       const std::vector<std::size_t>& axes) {
  call.require(scales.size() == axes.size(), "{} scales for {} axes", scales.size(), axes.size());
  ResizePlan plan{x, std::vector<float>(x.size(), 1)};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    call.require(scales[i] > 0 && scales[i] <= 1e6F, "a scale of {}, allowed: above 0", scales[i]);
    plan.scales[axes[i]] = scales[i];
    plan.sizes[axes[i]] = static_cast<std::int64_t>(
        std::floor(static_cast<double>(x[axes[i]]) * static_cast<double>(scales[i])));
  }
  return plan;
}

ResizePlan sized_plan(const GenericCall& call, const Shape& x, const Sizes& sizes,
                      const std::vector<std::size_t>& axes) {
  call.require(sizes.size() == axes.size(), "{} sizes for {} axes", sizes.size(), axes.size());
  const std::string policy = text(call.op, "keep_aspect_ratio_policy", "stretch");
  ResizePlan plan{x, std::vector<float>(x.size(), 1)};
  float common = policy == "not_larger" ? INFINITY : 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    call.require(sizes[i] > 0 && sizes[i] <= kMost && x[axes[i]] > 0, "size {} of input {}",
                 sizes[i], to_string(x));
    const float scale = static_cast<float>(sizes[i]) / static_cast<float>(x[axes[i]]);
    common = policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
    plan.scales[axes[i]] = scale;
    plan.sizes[axes[i]] = sizes[i];
  }
  if (policy != "stretch") {
    for (const std::size_t axis : axes) {
      plan.scales[axis] = common;
      plan.sizes[axis] =
          static_cast<std::int64_t>(std::floor(common * static_cast<float>(x[axis]) + 0.5F));
    }
  }
  return plan;
}

// Scales or sizes: inputs 1 and none in opset 10, 2 and 3 since 11; attribute of Upsample before.
ResizePlan plan_resize(const GenericCall& call) {
  const Shape& x = call.shape(0);
  std::vector<std::size_t> axes;
  if (has_attribute(call.op, "axes")) {
    for (const std::int64_t axis : integers(call.op, "axes", {}))
      axes.push_back(call.axis(axis, x.size()));
  } else {
    for (std::size_t i = 0; i < x.size(); ++i)
      axes.push_back(i);
  }
  if (has_attribute(call.op, "scales"))
    return scaled_plan(call, x, reals(call.op, "scales", {}), axes);
  const bool old = call.op.type == "Upsample" || call.op.opset < 11;
  const int scales = old ? 1 : 2;
  if (call.has(scales) && element_count(call.shape(scales)) > 0)
    return scaled_plan(call, x, call.constant_floats(scales, "scales"), axes);
  call.require(!old && call.has(3), "scales and sizes are both missing");
  return sized_plan(call, x, call.constant_integers(3, "sizes"), axes);
}

Outputs resize(const GenericCall& call) {
  return {{plan_resize(call).sizes, call.dtype(0)}};
}

bool resize_batch(const GenericCall& call) {
  const ResizePlan plan = plan_resize(call);
  return only_first_is_activation(call) && plan.scales[0] == 1 &&
         text(call.op, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
}

// Interpolation between two neighbours along two axes.
std::int64_t four_per_output(const GenericCall& call) {
  return 4 * one_per_output(call);
}

Outputs grid_sample(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& grid = call.shape(1);
  call.require(x.size() >= 4 && grid.size() == x.size() && grid[0] == x[0] &&
                   grid.back() == static_cast<std::int64_t>(x.size()) - 2,
               "input {} and grid {} do not fit", to_string(x), to_string(grid));
  return {{batch_and_channels(x, x[1], Shape(grid.begin() + 1, grid.end() - 1)), call.dtype(0)}};
}

bool grid_batch(const GenericCall& call) {
  return !call.is_constant(0) && !call.is_constant(1);
}

Outputs max_unpool(const GenericCall& call) {
  const Shape& x = call.shape(0);
  require_image(call, x);
  call.require(call.shape(1) == x, "indices {} do not fit input {}", to_string(call.shape(1)),
               to_string(x));
  const std::size_t n = x.size() - 2;
  call.require(has_attribute(call.op, "kernel_shape"), "kernel_shape is missing");
  const Sizes kernel = checked_list(call, "kernel_shape", n, 1, 1);
  const Sizes strides = checked_list(call, "strides", n, 1, 1);
  const Sizes pads = checked_list(call, "pads", 2 * n, 0, 0);
  if (call.has(2)) {
    const Shape asked = call.constant_integers(2, "output_shape");
    call.require(asked.size() == x.size() &&
                     std::ranges::all_of(asked, [](std::int64_t s) { return s >= 0; }),
                 "output_shape {} does not fit input {}", to_string(asked), to_string(x));
    return {{asked, call.dtype(0)}};
  }
  Shape y;
  for (std::size_t i = 0; i < n; ++i)
    y.push_back(call.size((x[2 + i] - 1) * strides[i] - pads[i] - pads[i + n] + kernel[i]));
  return {{batch_and_channels(x, x[1], y), call.dtype(0)}};
}

constexpr std::string_view kConv = "auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I";

constexpr GenericRule kRules[] = {
    {"AveragePool", 1, 1,
     "auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I pads:I strides:I", pool,
     pool_work, always},
    {"Conv", 2, 3, kConv, conv, conv_macs<1>, only_first_is_activation},
    {"ConvInteger", 2, 4, kConv, conv_integer, conv_macs<1>, only_first_is_activation},
    {"ConvTranspose", 2, 3,
     "auto_pad:s dilations:I group:i kernel_shape:I output_padding:I output_shape:I pads:I "
     "strides:I",
     conv_transpose, conv_transpose_macs, only_first_is_activation},
    {"GlobalAveragePool", 1, 1, "", global_pool, one_per_input, always},
    {"GlobalLpPool", 1, 1, "p:i", global_pool, one_per_input, always},
    {"GlobalMaxPool", 1, 1, "", global_pool, one_per_input, always},
    {"GridSample", 2, 2, "align_corners:i mode:s padding_mode:s", grid_sample, four_per_output,
     grid_batch},
    {"LpPool", 1, 1, "auto_pad:s ceil_mode:i dilations:I kernel_shape:I p:i pads:I strides:I", pool,
     pool_work, always},
    {"MaxPool", 1, 1,
     "auto_pad:s ceil_mode:i dilations:I kernel_shape:I pads:I storage_order:i strides:I", pool,
     pool_work, always, 2},
    {"MaxUnpool", 2, 3, "kernel_shape:I pads:I strides:I", max_unpool},
    {"QLinearConv", 8, 9, kConv, qlinear_conv, conv_macs<3>, only_first_is_activation},
    {"Resize", 1, 4,
     "antialias:i axes:I coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i "
     "extrapolation_value:f keep_aspect_ratio_policy:s mode:s nearest_mode:s",
     resize, four_per_output, resize_batch},
    {"Upsample", 1, 2, "mode:s scales:F height_scale:f width_scale:f", resize, four_per_output,
     resize_batch},
};

}  // namespace

std::vector<std::int64_t> window_pads(const Generic& op, const Shape& spatial,
                                      const std::vector<std::int64_t>& kernel) {
  const std::size_t n = spatial.size();
  const std::string mode = text(op, "auto_pad", "NOTSET");
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER")
    return mode == "VALID" ? Sizes(2 * n, 0) : integers(op, "pads", Sizes(2 * n, 0));
  const Sizes strides = integers(op, "strides", Sizes(n, 1));
  const Sizes dilations = integers(op, "dilations", Sizes(n, 1));
  Sizes totals;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t outputs = (spatial[i] + strides[i] - 1) / strides[i];
    totals.push_back((outputs - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - spatial[i]);
  }
  return same_pads(totals, mode == "SAME_UPPER");
}

std::vector<std::int64_t> transposed_pads(const Generic& op, const Shape& spatial,
                                          const std::vector<std::int64_t>& kernel) {
  const std::size_t n = spatial.size();
  const std::string mode = text(op, "auto_pad", "NOTSET");
  const bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (!same && !has_attribute(op, "output_shape"))
    return mode == "VALID" ? Sizes(2 * n, 0) : integers(op, "pads", Sizes(2 * n, 0));
  const Sizes strides = integers(op, "strides", Sizes(n, 1));
  const Sizes dilations = integers(op, "dilations", Sizes(n, 1));
  const Sizes extra = integers(op, "output_padding", Sizes(n, 0));
  const Sizes asked = integers(op, "output_shape", {});
  Sizes totals;
  Sizes beyond(2 * n, 0);  // what an output larger than the sum of windows has behind it
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t wanted =
        asked.empty() ? spatial[i] * strides[i] : asked[asked.size() - n + i];
    totals.push_back(strides[i] * (spatial[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 -
                     wanted);
    beyond[i + n] = std::min<std::int64_t>(totals[i], 0);
  }
  Sizes pads = same_pads(totals, mode == "SAME_UPPER");
  std::ranges::transform(pads, beyond, pads.begin(), std::plus<>());
  return pads;
}

ResizePlan resize_plan(const Graph& graph, const Node& node) {
  return plan_resize(GenericCall(graph, node));
}

std::span<const GenericRule> image_rules() {
  return kRules;
}

}  // namespace tessera::ir
