// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// The models of one strict-fair step (FairNAS, Chu et al. 2021): each layer's candidates are
// visited in a random order without replacement, so that after max(count) models every path of
// every layer was used equally often; a layer with fewer candidates than others starts a new random
// order when it has used them all.
std::vector<Choice> strict_fair_choices(std::span<const std::size_t> candidate_counts, Rng rng);

// One network that holds every path of every layer over shared master weights.
class Supernet {
 public:
  Supernet(const nn::Network& start, const Space& space, const hw::Platform& platform,
           std::span<const nn::RangeObserver> ranges);

  nn::Network& network() { return network_; }
  const nn::Network& network() const { return network_; }
  const Space& space() const { return *space_; }

  // Shared weights and the kernels' own parameters.
  std::vector<nn::Tensor> parameters() const;

  // Logits of the subnetwork that `choice` names; training mode draws noise from `rng`.
  nn::Tensor forward(const nn::Tensor& x, const Choice& choice);
  // Sets up every kernel for training: noise streams from `rng`, strength[layer][path] of its
  // format's effect.
  void prepare_training(const Rng& rng, const std::vector<std::vector<double>>& strength);

  // One accuracy per time of `plan`; kernels are left in evaluation mode.
  std::vector<plan::Accuracy> measure(const Choice& choice, const nn::Split& split,
                                      const nn::Preprocessing& preprocessing,
                                      const nn::ChipPlan& plan, const Rng& rng) const;

  // Parameters of all kernels, named as MappedNetwork does.
  nn::TensorMap kernel_state() const;

 private:
  const Space* space_;
  nn::Network network_;
  std::vector<std::vector<std::unique_ptr<nn::LayerKernel>>>
      kernels_;  // [layer][path], null: float32
};

}  // namespace tessera::supernet
