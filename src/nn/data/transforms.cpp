// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include <ATen/Parallel.h>

#include "tessera/core/error.h"
#include "tessera/nn/data/dataset.h"

namespace tessera::nn {

namespace {

// One plane, as Placement says.
void place_plane(const float* in, float* out, std::int64_t height, std::int64_t width,
                 const Placement& placement) {
  const std::int64_t first = std::clamp<std::int64_t>(-placement.dx, 0, width);
  const std::int64_t last = std::clamp<std::int64_t>(width - placement.dx, 0, width);
  for (std::int64_t y = 0; y < height; ++y, out += width) {
    const std::int64_t source = y + placement.dy;
    if (source < 0 || source >= height) {
      std::fill(out, out + width, 0.0F);
      continue;
    }
    const float* row = in + source * width;
    std::fill(out, out + first, 0.0F);
    std::fill(out + last, out + width, 0.0F);
    if (placement.mirrored) {
      for (std::int64_t x = first; x < last; ++x)
        out[x] = row[width - 1 - (x + placement.dx)];
    } else {
      std::copy(row + first + placement.dx, row + last + placement.dx, out + first);
    }
  }
}

Tensor augment_on_cpu(const Tensor& images, const std::vector<Placement>& placements) {
  const Tensor in = images.contiguous();
  Tensor out = torch::empty_like(in);
  const std::int64_t channels = in.size(1);
  const std::int64_t plane = in.size(2) * in.size(3);
  const auto* source = in.data_ptr<float>();
  auto* target = out.data_ptr<float>();
  constexpr std::int64_t kImagesPerTask = 16;
  at::parallel_for(0, in.size(0), kImagesPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t at = (i * channels + c) * plane;
        place_plane(source + at, target + at, in.size(2), in.size(3),
                    placements[static_cast<std::size_t>(i)]);
      }
    }
  });
  return out;
}

// The same as one gather over the padded images.
Tensor augment_by_gather(const Tensor& images, const std::vector<Placement>& placements,
                         std::int64_t padding) {
  const std::int64_t height = images.size(2);
  const std::int64_t width = images.size(3);
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> columns;
  for (const Placement& placement : placements) {
    for (std::int64_t y = 0; y < height; ++y)
      rows.push_back(y + placement.dy + padding);
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t column = x + placement.dx;
      columns.push_back(padding + (placement.mirrored ? width - 1 - column : column));
    }
  }
  const auto n = images.size(0);
  const auto options = torch::TensorOptions(torch::kInt64);
  const Tensor row = torch::tensor(rows, options).to(images.device()).view({n, 1, height, 1});
  const Tensor column = torch::tensor(columns, options).to(images.device()).view({n, 1, 1, width});
  const Tensor image = torch::arange(n, options.device(images.device())).view({n, 1, 1, 1});
  const Tensor channel =
      torch::arange(images.size(1), options.device(images.device())).view({1, -1, 1, 1});
  const Tensor padded = torch::constant_pad_nd(images, {padding, padding, padding, padding}, 0);
  return padded.index({image, channel, row, column});
}

}  // namespace

std::vector<Placement> draw_placements(std::int64_t n, const Dataset& dataset, Rng& rng) {
  const auto range = static_cast<std::uint64_t>(2 * dataset.crop_padding + 1);
  std::vector<Placement> placements(static_cast<std::size_t>(n));
  for (Placement& placement : placements) {
    if (dataset.crop_padding > 0) {
      placement.dy = static_cast<std::int64_t>(rng.below(range)) - dataset.crop_padding;
      placement.dx = static_cast<std::int64_t>(rng.below(range)) - dataset.crop_padding;
    }
    if (dataset.horizontal_flip)
      placement.mirrored = rng.below(2) == 1;
  }
  return placements;
}

namespace {

// Each of the split's tensors changed alike.
template <typename Change>
Split changed(const Split& split, const Change& change) {
  Split result{split.name, change(split.images), change(split.labels)};
  for (const Tensor& input : split.more_inputs)
    result.more_inputs.push_back(change(input));
  return result;
}

}  // namespace

Split part_of(const Split& split, std::int64_t begin, std::int64_t end) {
  return changed(split, [&](const Tensor& tensor) { return tensor.slice(0, begin, end); });
}

Split take(const Split& split, std::int64_t n) {
  return n <= 0 || n >= split.size() ? split : part_of(split, 0, n);
}

Split select(const Split& split, const Tensor& indices) {
  return changed(split, [&](const Tensor& tensor) { return tensor.index_select(0, indices); });
}

Split to_device(const Split& split, torch::Device device) {
  return changed(split, [&](const Tensor& tensor) { return tensor.to(device); });
}

Tensor normalize(const Tensor& images, const Preprocessing& preprocessing) {
  const auto channels = static_cast<std::size_t>(images.size(1));
  TESSERA_CHECK(preprocessing.mean.size() == channels && preprocessing.std.size() == channels,
                "{} means and {} stds for {} channels", preprocessing.mean.size(),
                preprocessing.std.size(), channels);
  // (v / 255 - mean) / std as v · scale + offset.
  std::vector<float> scale;
  std::vector<float> offset;
  for (std::size_t c = 0; c < channels; ++c) {
    scale.push_back(static_cast<float>(1.0 / (255.0 * preprocessing.std[c])));
    offset.push_back(static_cast<float>(-preprocessing.mean[c] / preprocessing.std[c]));
  }
  const auto per_channel = [&](const std::vector<float>& values) {
    return torch::tensor(values).view({1, -1, 1, 1}).to(images.device());
  };
  return torch::addcmul(per_channel(offset), images.to(torch::kFloat32), per_channel(scale));
}

std::vector<Tensor> network_inputs(const Split& split, const Preprocessing& preprocessing) {
  std::vector<Tensor> inputs{preprocessing.mean.empty() ? split.images
                                                        : normalize(split.images, preprocessing)};
  inputs.insert(inputs.end(), split.more_inputs.begin(), split.more_inputs.end());
  return inputs;
}

Tensor class_scores(const Tensor& outputs, const Tensor& labels) {
  if (labels.dim() == 1)
    return outputs.flatten(1);
  std::vector<std::int64_t> positions = outputs.sizes().vec();
  positions.erase(positions.begin() + 1);
  return labels.sizes() == positions ? outputs : outputs.movedim(-1, 1);
}

Tensor augment(const Tensor& images, const Dataset& dataset, Rng& rng) {
  const auto placements = draw_placements(images.size(0), dataset, rng);
  return images.is_cpu() ? augment_on_cpu(images, placements)
                         : augment_by_gather(images, placements, dataset.crop_padding);
}

std::vector<Tensor> shuffled_batches(std::int64_t size, std::int64_t batch, Rng& rng,
                                     torch::Device device) {
  TESSERA_CHECK(batch > 0, "batch of {}", batch);
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  rng.shuffle(std::span(order));
  const Tensor all = torch::tensor(order, torch::kInt64).to(device);
  std::vector<Tensor> batches;
  for (std::int64_t begin = 0; begin + batch <= size; begin += batch)
    batches.push_back(all.slice(0, begin, begin + batch));
  return batches;
}

}  // namespace tessera::nn
