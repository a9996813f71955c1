// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/supernet.h"

#include <algorithm>
#include <numeric>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

namespace tessera::supernet {

std::vector<Choice> strict_fair_choices(std::span<const std::size_t> candidate_counts, Rng rng) {
  const std::size_t models = candidate_counts.empty() ? 0
                                                      : *std::max_element(candidate_counts.begin(),
                                                                          candidate_counts.end());
  std::vector<Choice> choices(models, Choice(candidate_counts.size(), 0));
  for (std::size_t layer = 0; layer < candidate_counts.size(); ++layer) {
    std::vector<int> order(candidate_counts[layer]);
    for (std::size_t model = 0; model < models; ++model) {
      const std::size_t position = model % order.size();
      if (position == 0) {
        std::iota(order.begin(), order.end(), 0);
        rng.shuffle(std::span(order));
      }
      choices[model][layer] = order[position];
    }
  }
  return choices;
}

Supernet::Supernet(const nn::Network& start, const Space& space, const hw::Platform& platform,
                   std::span<const nn::RangeObserver> ranges)
    : space_(&space), network_(start.clone()) {
  TESSERA_CHECK(space.size() == network_.layers().size() && ranges.size() == space.size(),
                "{} layers, {} in the space, {} ranges", network_.layers().size(), space.size(),
                ranges.size());
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    TESSERA_CHECK(!space[layer].empty(), "layer {} has no path", layer);
    auto& kernels = kernels_.emplace_back();
    for (const plan::Path& path : space[layer]) {
      kernels.push_back(nn::make_kernel(path, platform, ranges[layer], network_.device()));
    }
  }
}

std::vector<nn::Tensor> Supernet::parameters() const {
  std::vector<nn::Tensor> all = network_.parameters();
  for (const auto& layer : kernels_) {
    for (const auto& kernel : layer) {
      if (kernel == nullptr)
        continue;
      for (const nn::Tensor& parameter : kernel->parameters())
        all.push_back(parameter);
    }
  }
  return all;
}

nn::Tensor Supernet::forward(const nn::Tensor& x, const Choice& choice) {
  std::vector<nn::LayerKernel*> chosen;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    chosen.push_back(kernels_[layer].at(static_cast<std::size_t>(choice.at(layer))).get());
  }
  nn::KernelRunner runner(std::move(chosen));
  return network_.forward(x, runner);
}

void Supernet::prepare_training(const Rng& rng, const std::vector<std::vector<double>>& strength) {
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    for (std::size_t path = 0; path < kernels_[layer].size(); ++path) {
      nn::LayerKernel* kernel = kernels_[layer][path].get();
      if (kernel == nullptr)
        continue;
      kernel->set_training(true);
      kernel->set_strength(strength.at(layer).at(path));
      kernel->set_generator(nn::make_generator(rng.split(layer).split(path), network_.device()));
    }
  }
}

std::vector<plan::Accuracy> Supernet::measure(const Choice& choice, const nn::Split& split,
                                              const nn::Preprocessing& preprocessing,
                                              const nn::ChipPlan& plan, const Rng& rng) const {
  std::vector<nn::LayerKernel*> chosen;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    chosen.push_back(kernels_[layer].at(static_cast<std::size_t>(choice.at(layer))).get());
  }
  return nn::measure(network_, chosen, split, preprocessing, plan, rng);
}

nn::TensorMap Supernet::kernel_state() const {
  nn::TensorMap state;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    for (std::size_t path = 0; path < kernels_[layer].size(); ++path) {
      if (kernels_[layer][path] == nullptr)
        continue;
      const std::vector<nn::Tensor> parameters = kernels_[layer][path]->parameters();
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        state[nn::kernel_parameter_name(network_.workload().layers[layer].name,
                                        (*space_)[layer][path], k)] =
            parameters[k].detach().clone();
      }
    }
  }
  return state;
}

}  // namespace tessera::supernet
