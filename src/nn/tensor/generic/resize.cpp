// SPDX-License-Identifier: Apache-2.0
#include "resize.h"

#include <algorithm>
#include <cmath>

#include <torch/autograd.h>

namespace tessera::nn {
namespace {

// One axis: sizes, and where an output's centre lies among the inputs.
struct Axis {
  std::int64_t inputs, outputs;
  double scale;
  double roi_begin = 0, roi_end = 1;
};

double coordinate(const std::string& mode, const Axis& axis, double at) {
  const auto inputs = static_cast<double>(axis.inputs);
  // The true scale where sizes were given as such; else what the rounded size leaves is cut off.
  const double outputs = axis.scale * inputs;
  if (mode == "asymmetric")
    return at / axis.scale;
  if (mode == "align_corners")
    return axis.outputs == 1 ? 0 : at * (inputs - 1) / (outputs - 1);
  if (mode == "pytorch_half_pixel")
    return axis.outputs == 1 ? 0 : (at + 0.5) / axis.scale - 0.5;
  if (mode == "tf_half_pixel_for_nn")
    return (at + 0.5) / axis.scale;
  if (mode == "tf_crop_and_resize") {
    if (axis.outputs == 1)
      return 0.5 * (axis.roi_begin + axis.roi_end) * (inputs - 1);
    return axis.roi_begin * (inputs - 1) + at * (axis.roi_end - axis.roi_begin) * (inputs - 1) /
                                               (static_cast<double>(axis.outputs) - 1);
  }
  if (mode == "half_pixel_symmetric") {
    const double adjustment = static_cast<double>(axis.outputs) / outputs;
    const double offset = inputs / 2 * (1 - adjustment);
    return offset + (at + 0.5) / axis.scale - 0.5;
  }
  return (at + 0.5) / axis.scale - 0.5;  // half_pixel
}

std::int64_t nearest(const std::string& mode, double at) {
  if (mode == "floor")
    return static_cast<std::int64_t>(std::floor(at));
  if (mode == "ceil")
    return static_cast<std::int64_t>(std::ceil(at));
  if (mode == "round_prefer_ceil")
    return static_cast<std::int64_t>(std::floor(at + 0.5));
  return static_cast<std::int64_t>(std::ceil(at - 0.5));  // round_prefer_floor
}

double linear_weight(double distance) {
  return std::max(0.0, 1 - std::abs(distance));
}

// Keys' cubic convolution (IEEE Trans. ASSP 29(6), 1981, eq. 15) with free parameter a.
double cubic_weight(double distance, double a) {
  const double d = std::abs(distance);
  if (d <= 1)
    return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

struct Filter {
  std::string mode, coordinates, rounding;
  double cubic_a;
  bool exclude_outside, antialias;
};

// The weights of the inputs for each output; a row is empty (all 0) where the coordinate lies
// outside and is to be extrapolated.
Tensor weights(const Filter& filter, const Axis& axis) {
  Tensor matrix = torch::zeros({axis.outputs, axis.inputs}, torch::kFloat64);
  auto entry = matrix.accessor<double, 2>();
  const double stretch = filter.antialias ? std::max(1.0, 1 / axis.scale) : 1;
  const double radius = (filter.mode == "cubic" ? 2 : 1) * stretch;
  for (std::int64_t y = 0; y < axis.outputs; ++y) {
    const double at = coordinate(filter.coordinates, axis, static_cast<double>(y));
    if (filter.coordinates == "tf_crop_and_resize" &&
        (at < 0 || at > static_cast<double>(axis.inputs - 1)))
      continue;
    if (filter.mode == "nearest") {
      entry[y][std::clamp<std::int64_t>(nearest(filter.rounding, at), 0, axis.inputs - 1)] = 1;
      continue;
    }
    double sum = 0;
    const auto first = static_cast<std::int64_t>(std::ceil(at - radius));
    const auto last = static_cast<std::int64_t>(std::floor(at + radius));
    for (std::int64_t x = first; x <= last; ++x) {
      const bool outside = x < 0 || x >= axis.inputs;
      // A stretched filter leaves out what lies outside; a plain one repeats the border.
      if (outside && (filter.exclude_outside || filter.antialias))
        continue;
      const double distance = (static_cast<double>(x) - at) / stretch;
      const double weight =
          filter.mode == "cubic" ? cubic_weight(distance, filter.cubic_a) : linear_weight(distance);
      entry[y][std::clamp<std::int64_t>(x, 0, axis.inputs - 1)] += weight;
      sum += weight;
    }
    for (std::int64_t x = 0; x < axis.inputs && sum != 0; ++x)
      entry[y][x] /= sum;
  }
  return matrix;
}

Filter filter_of(const KernelCall& call) {
  const bool upsample = call.op.type == "Upsample" || call.op.opset < 11;
  const std::string mode = call.text("mode", "nearest");
  return {.mode = mode,
          .coordinates =
              upsample ? "asymmetric" : call.text("coordinate_transformation_mode", "half_pixel"),
          .rounding = upsample ? "floor" : call.text("nearest_mode", "round_prefer_floor"),
          .cubic_a = call.real("cubic_coeff_a", -0.75F),
          .exclude_outside = call.integer("exclude_outside", 0) != 0,
          .antialias = call.integer("antialias", 0) != 0};
}

}  // namespace

Tensors resize(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const ir::ResizePlan plan = ir::resize_plan(call.graph, call.node);
  const Filter filter = filter_of(call);
  const bool crop = filter.coordinates == "tf_crop_and_resize";
  Tensor roi = crop && call.has(1) ? call.in(1).to(torch::kCPU, torch::kFloat64) : Tensor();
  const std::vector<std::int64_t> axes = ir::integers(call.op, "axes", {});
  Tensor y = x.is_floating_point() ? x : x.to(torch::kFloat64);
  Tensor inside = torch::ones({1}, torch::kBool);
  for (std::int64_t i = 0; i < x.dim(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (plan.scales[k] == 1 && !crop)
      continue;
    Axis axis{.inputs = x.size(i),
              .outputs = plan.scales[k] == 1 ? x.size(i) : plan.sizes[k],
              .scale = static_cast<double>(plan.scales[k])};
    if (roi.defined()) {
      std::int64_t entry = i;
      if (!axes.empty()) {
        const auto found = std::ranges::find_if(
            axes, [&](std::int64_t a) { return (a < 0 ? a + x.dim() : a) == i; });
        if (found == axes.end())
          continue;
        entry = found - axes.begin();
      }
      axis.roi_begin = roi[entry].item<double>();
      axis.roi_end = roi[entry + roi.numel() / 2].item<double>();
    }
    const Tensor matrix = weights(filter, axis);
    if (crop) {
      std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
      shape[k] = axis.outputs;
      inside = torch::logical_and(inside, (matrix.sum(1) != 0).reshape(shape));
    }
    const Tensor factor = matrix.to(y.device(), y.scalar_type());
    y = torch::matmul(y.movedim(i, -1), factor.t()).movedim(-1, i);
  }
  if (crop)
    y = torch::where(inside.to(y.device()), y,
                     torch::full({1}, call.real("extrapolation_value", 0), y.options()));
  return {x.is_floating_point() ? y : torch::round(y).to(x.scalar_type())};
}

}  // namespace tessera::nn
