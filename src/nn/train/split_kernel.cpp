// SPDX-License-Identifier: Apache-2.0
#include "nn/train/split_kernel.h"

#include <algorithm>
#include <utility>

#include <torch/types.h>

#include "tessera/core/error.h"

namespace tessera::nn::detail {
namespace {

class HasParts {
 public:
  virtual ~HasParts() = default;
  virtual const std::vector<SplitPart>& parts() const = 0;
};

// `Base` is LayerKernel, or NoisyKernel where a part is noisy.
template <typename Base>
class SplitKernel : public Base, public HasParts {
 public:
  SplitKernel(std::vector<SplitPart> parts, torch::Device device) : parts_(std::move(parts)) {
    std::vector<std::int64_t> order;
    for (const SplitPart& part : parts_) {
      channels_.push_back(torch::tensor(part.channels, torch::kInt64).to(device));
      order.insert(order.end(), part.channels.begin(), part.channels.end());
    }
    back_ = torch::tensor(order, torch::kInt64).argsort().to(device);
  }

  Tensor forward(const LayerCall& call) override {
    const auto* conv = std::get_if<ir::Conv>(&call.op);
    std::vector<Tensor> outputs;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Tensor weight = call.weight.index_select(0, channels_[i]);
      const Tensor bias = call.bias.defined() ? call.bias.index_select(0, channels_[i]) : call.bias;
      ir::Op op = call.op;
      Tensor x = call.x;
      if (conv != nullptr && conv->groups > 1) {
        const std::int64_t step = call.weight.size(0) / conv->groups;
        const std::int64_t inputs = call.weight.size(1);
        const auto groups = static_cast<std::int64_t>(parts_[i].channels.size()) / step;
        // The first channel of each group says which one it is.
        const Tensor group =
            channels_[i].reshape({groups, step}).select(1, 0).div(step, /*rounding_mode=*/"floor");
        const Tensor within = torch::arange(inputs, group.options());
        x = call.x.index_select(1, (group.unsqueeze(1) * inputs + within).flatten());
        std::get<ir::Conv>(op).groups = groups;
      }
      const LayerCall own{.layer = call.layer, .op = op, .x = x, .weight = weight, .bias = bias};
      outputs.push_back(parts_[i].kernel != nullptr ? parts_[i].kernel->forward(own)
                                                    : apply_layer(op, x, weight, bias));
    }
    const std::int64_t channel_dim = conv != nullptr ? 1 : outputs.front().dim() - 1;
    return at::cat(outputs, channel_dim).index_select(channel_dim, back_);
  }

  void set_strength(double strength) override {
    for (const SplitPart& part : parts_) {
      if (part.kernel != nullptr)
        part.kernel->set_strength(strength);
    }
  }
  void set_training(bool training) override {
    for (const SplitPart& part : parts_) {
      if (part.kernel != nullptr)
        part.kernel->set_training(training);
    }
  }
  void set_noise(NoiseStream noise) override {
    for (const SplitPart& part : parts_) {
      const NoiseStream::Draw draw = noise.next();
      if (part.kernel != nullptr)
        part.kernel->set_noise(NoiseStream(draw.seed, draw.key));
    }
  }
  bool can_be_recorded() const override {
    return std::all_of(parts_.begin(), parts_.end(), [](const SplitPart& part) {
      return part.kernel == nullptr || part.kernel->can_be_recorded();
    });
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const SplitPart& part : parts_) {
      if (part.kernel == nullptr)
        continue;
      for (const Tensor& parameter : part.kernel->parameters())
        all.push_back(parameter);
    }
    return all;
  }
  const std::vector<SplitPart>& parts() const override { return parts_; }

 protected:
  std::vector<SplitPart> parts_;
  std::vector<Tensor> channels_;  // int64 indices of each part's
  Tensor back_;                   // from the parts' order to the layer's
};

class NoisySplitKernel final : public SplitKernel<NoisyKernel> {
 public:
  using SplitKernel::SplitKernel;

  void program(const Tensor& weight, NoiseStream chip) override {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const NoiseStream::Draw draw = chip.next();
      if (auto* noisy = dynamic_cast<NoisyKernel*>(parts_[i].kernel.get()))
        noisy->program(weight.index_select(0, channels_[i]), NoiseStream(draw.seed, draw.key));
    }
  }
  void drift_to(double seconds) override {
    for (const SplitPart& part : parts_) {
      if (auto* noisy = dynamic_cast<NoisyKernel*>(part.kernel.get()))
        noisy->drift_to(seconds);
    }
  }
};

}  // namespace

std::vector<SplitPart> split_parts(const plan::Path& path) {
  std::vector<SplitPart> parts;
  for (const plan::Part& part : path.parts) {
    auto same = std::find_if(parts.begin(), parts.end(), [&](const SplitPart& known) {
      return known.first.unit == part.unit && known.first.format == part.format;
    });
    if (same == parts.end())
      same = parts.insert(parts.end(), SplitPart{.first = part, .channels = {}, .kernel = nullptr});
    for (std::int64_t channel = part.channels.begin; channel < part.channels.end; ++channel)
      same->channels.push_back(channel);
  }
  return parts;
}

std::unique_ptr<LayerKernel> make_split_kernel(std::vector<SplitPart> parts, torch::Device device) {
  const bool noisy = std::any_of(parts.begin(), parts.end(), [](const SplitPart& part) {
    return dynamic_cast<const NoisyKernel*>(part.kernel.get()) != nullptr;
  });
  if (noisy)
    return std::make_unique<NoisySplitKernel>(std::move(parts), device);
  return std::make_unique<SplitKernel<LayerKernel>>(std::move(parts), device);
}

const std::vector<SplitPart>* parts_of(const LayerKernel& kernel) {
  const auto* split = dynamic_cast<const HasParts*>(&kernel);
  return split == nullptr ? nullptr : &split->parts();
}

}  // namespace tessera::nn::detail
