// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <numeric>

#include <torch/autograd.h>

#include "kernel.h"
#include "resize.h"
#include "window.h"

namespace tessera::nn {
namespace {

using Sizes = std::vector<std::int64_t>;

Sizes spatial(const Tensor& x) {
  return {x.sizes().begin() + 2, x.sizes().end()};
}

// Pads of LibTorch's form, last dimension first, from ONNX's.
Sizes last_first(const Sizes& pads) {
  const std::size_t n = pads.size() / 2;
  Sizes list;
  for (std::size_t i = n; i-- > 0;) {
    list.push_back(pads[i]);
    list.push_back(pads[i + n]);
  }
  return list;
}

Tensors conv(const KernelCall& call) {
  return {convolve(call.op, call.in(0), call.in(1), call.maybe(2))};
}

// Each input is spread without padding, then pads are cut off and output padding is added, where
// only the bias stands.
Tensors conv_transpose(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor& w = call.in(1);
  const std::size_t n = static_cast<std::size_t>(x.dim()) - 2;
  const Sizes pads = ir::transposed_pads(call.op, spatial(x), spatial(w));
  const Sizes extra = ir::integers(call.op, "output_padding", Sizes(n, 0));
  Tensor y = torch::convolution(x, w, Tensor(), ir::integers(call.op, "strides", Sizes(n, 1)),
                                Sizes(n, 0), ir::integers(call.op, "dilations", Sizes(n, 1)),
                                /*transposed=*/true, Sizes(n, 0), call.integer("group", 1));
  Sizes cut;
  for (std::size_t i = 0; i < n; ++i)
    cut.push_back(-pads[i]);
  for (std::size_t i = 0; i < n; ++i)
    cut.push_back(extra[i] - pads[i + n]);
  y = torch::constant_pad_nd(y, last_first(cut), 0);
  if (call.has(2)) {
    Sizes shape(n + 2, 1);
    shape[1] = call.in(2).numel();
    y = y + call.in(2).reshape(shape);
  }
  return {y};
}

struct Windows {
  Sizes kernel, strides, dilations, pads, outputs;
};

Windows windows_of(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::size_t n = static_cast<std::size_t>(x.dim()) - 2;
  Windows w{.kernel = ir::integers(call.op, "kernel_shape", {}),
            .strides = ir::integers(call.op, "strides", Sizes(n, 1)),
            .dilations = ir::integers(call.op, "dilations", Sizes(n, 1)),
            .pads = {},
            .outputs = {}};
  w.pads = ir::window_pads(call.op, spatial(x), w.kernel);
  const ir::Shape& y = *call.graph.value(call.node.outputs[0]).shape;
  w.outputs.assign(y.begin() + 2, y.end());
  return w;
}

// What each window covers: [N, C, outputs.., elements of the window], `beyond` outside of x.
Tensor windows(const Tensor& x, const Windows& w, double beyond) {
  const std::size_t n = w.kernel.size();
  Sizes reach(2 * n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t last =
        (w.outputs[i] - 1) * w.strides[i] + (w.kernel[i] - 1) * w.dilations[i] + 1;
    reach[i] = w.pads[i];
    reach[i + n] = last - w.pads[i] - x.size(static_cast<std::int64_t>(i) + 2);
  }
  Tensor y = torch::constant_pad_nd(x, last_first(reach), beyond);
  for (std::size_t i = 0; i < n; ++i) {
    const auto options = torch::dtype(torch::kInt64).device(x.device());
    const Tensor index = torch::arange(w.outputs[i], options).unsqueeze(1) * w.strides[i] +
                         torch::arange(w.kernel[i], options).unsqueeze(0) * w.dilations[i];
    // Dimension i of the outputs in place, that of the window at the end.
    const auto axis = static_cast<std::int64_t>(i) + 2;
    y = y.index_select(axis, index.reshape({-1}))
            .unflatten(axis, {w.outputs[i], w.kernel[i]})
            .movedim(axis + 1, -1);
  }
  return y.flatten(static_cast<std::int64_t>(n) + 2);
}

// Positions are flat ones of the whole input, by rows or (storage_order=1) by columns.
Tensor flat_index(const KernelCall& call, const Tensor& x) {
  Tensor plane = torch::arange(x.numel() / std::max<std::int64_t>(x.size(0) * x.size(1), 1),
                               torch::dtype(torch::kInt64).device(x.device()));
  if (call.integer("storage_order", 0) != 0) {
    Sizes turned = spatial(x);
    std::ranges::reverse(turned);
    Sizes order(turned.size());
    std::iota(order.rbegin(), order.rend(), 0);
    plane = plane.reshape(turned).permute(order);
  }
  Sizes shape = spatial(x);
  shape.insert(shape.begin(), {1, 1});
  return plane.reshape(shape);
}

Tensors max_pool(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Windows w = windows_of(call);
  const double least = x.is_floating_point()              ? -std::numeric_limits<double>::infinity()
                       : x.scalar_type() == torch::kUInt8 ? 0
                                                          : -128;
  const Tensor covered = windows(x, w, least);
  if (call.outputs() == 1)
    return {torch::amax(covered, -1)};
  const auto [values, best] = covered.max(-1);
  const Tensor index = flat_index(call, x);
  const Tensor in_plane =
      windows(index, w, 0).expand(covered.sizes()).gather(-1, best.unsqueeze(-1)).squeeze(-1);
  Sizes planes(static_cast<std::size_t>(x.dim()), 1);
  planes[0] = x.size(0);
  planes[1] = x.size(1);
  const Tensor plane =
      torch::arange(x.size(0) * x.size(1), torch::dtype(torch::kInt64).device(x.device()))
          .reshape(planes);
  return {values, in_plane + plane * index.numel()};
}

Tensors average_pool(const KernelCall& call) {
  const Tensor& x = call.in(0);
  Windows w = windows_of(call);
  const Tensor sums = windows(x, w, 0).sum(-1);
  Sizes shape = spatial(x);
  shape.insert(shape.begin(), {1, 1});
  Tensor counted = torch::ones(shape, x.options());
  if (call.integer("count_include_pad", 0) != 0) {
    counted = torch::constant_pad_nd(counted, last_first(w.pads), 1);
    std::ranges::fill(w.pads, 0);
  }
  return {sums / windows(counted, w, 0).sum(-1)};
}

Tensor power_mean(const Tensor& x, double p, std::int64_t from) {
  return torch::pow(torch::pow(torch::abs(x), p).flatten(from).sum(-1), 1 / p);
}

Tensors lp_pool(const KernelCall& call) {
  const auto p = static_cast<double>(call.integer("p", 2));
  return {power_mean(windows(call.in(0), windows_of(call), 0), p, call.in(0).dim())};
}

Sizes spatial_axes(const Tensor& x) {
  Sizes axes(static_cast<std::size_t>(x.dim()) - 2);
  std::iota(axes.begin(), axes.end(), 2);
  return axes;
}

Tensors global_average(const KernelCall& call) {
  return {torch::mean(call.in(0), spatial_axes(call.in(0)), true)};
}

Tensors global_max(const KernelCall& call) {
  return {torch::amax(call.in(0), spatial_axes(call.in(0)), true)};
}

Tensors global_lp(const KernelCall& call) {
  const Tensor& x = call.in(0);
  Sizes shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  shape[1] = x.size(1);
  return {power_mean(x, static_cast<double>(call.integer("p", 2)), 2).reshape(shape)};
}

Tensors grid_sample(const KernelCall& call) {
  const std::string mode = call.text("mode", "bilinear");
  const std::string padding = call.text("padding_mode", "zeros");
  const std::int64_t interpolation = mode == "nearest"                      ? 1
                                     : mode == "bicubic" || mode == "cubic" ? 2
                                                                            : 0;
  const std::int64_t beyond = padding == "border" ? 1 : padding == "reflection" ? 2 : 0;
  return {torch::grid_sampler(call.in(0), call.in(1), interpolation, beyond,
                              call.integer("align_corners", 0) != 0)};
}

// Indices are flat ones of a tensor of the size that the attributes give, which output_shape may
// enlarge.
Tensors max_unpool(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::size_t n = static_cast<std::size_t>(x.dim()) - 2;
  const Sizes kernel = ir::integers(call.op, "kernel_shape", {});
  const Sizes strides = ir::integers(call.op, "strides", Sizes(n, 1));
  const Sizes pads = ir::integers(call.op, "pads", Sizes(2 * n, 0));
  Sizes shape{x.size(0), x.size(1)};
  for (std::size_t i = 0; i < n; ++i)
    shape.push_back((x.size(static_cast<std::int64_t>(i) + 2) - 1) * strides[i] - pads[i] -
                    pads[i + n] + kernel[i]);
  const std::int64_t count =
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  const Tensor y = torch::zeros({count}, x.options())
                       .scatter(0, call.in(1).reshape({-1}), x.reshape({-1}))
                       .reshape(shape);
  const ir::Shape& wanted = *call.graph.value(call.node.outputs[0]).shape;
  Sizes more;
  for (std::size_t i = shape.size(); i-- > 0;) {
    more.push_back(0);
    more.push_back(wanted[i] - shape[i]);
  }
  return {torch::constant_pad_nd(y, more, 0)};
}

constexpr GenericKernel kKernels[] = {
    {"AveragePool", average_pool},
    {"Conv", conv},
    {"ConvTranspose", conv_transpose},
    {"GlobalAveragePool", global_average},
    {"GlobalLpPool", global_lp},
    {"GlobalMaxPool", global_max},
    {"GridSample", grid_sample},
    {"LpPool", lp_pool},
    {"MaxPool", max_pool},
    {"MaxUnpool", max_unpool},
    {"Resize", resize},
    {"Upsample", resize},
};

}  // namespace

Tensor convolve(const ir::Generic& op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::size_t n = static_cast<std::size_t>(x.dim()) - 2;
  const Sizes pads = ir::window_pads(op, spatial(x), spatial(weight));
  return torch::convolution(torch::constant_pad_nd(x, last_first(pads), 0), weight, bias,
                            ir::integers(op, "strides", Sizes(n, 1)), Sizes(n, 0),
                            ir::integers(op, "dilations", Sizes(n, 1)), /*transposed=*/false,
                            Sizes(n, 0), ir::integer(op, "group", 1));
}

std::span<const GenericKernel> image_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
