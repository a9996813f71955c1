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
  // The same with the kernels' buffers, for a trainer.
  nn::Trained trained() const;

  // Logits of the subnetwork that `choice` names; training mode draws noise from `rng`.
  nn::Tensor forward(const std::vector<nn::Tensor>& inputs, const Choice& choice);
  // Sets up every kernel for training: noise streams from `rng`, strength[layer][path] of its
  // format's effect.
  void prepare_training(const Rng& rng, const std::vector<std::vector<double>>& strength);

  // One update from the mean loss of the models that strict_fair_choices() gave. Returns that loss.
  // The trainer's tensors are trained().
  nn::Tensor fair_step(nn::Trainer& trainer, const Rng& rng,
                       const std::vector<std::vector<double>>& strength,
                       const std::vector<Choice>& choices);

  // One accuracy per time of `plan`; kernels are left in evaluation mode.
  std::vector<plan::Accuracy> measure(const Choice& choice, const nn::Split& split,
                                      const nn::Preprocessing& preprocessing,
                                      const nn::ChipPlan& plan, const Rng& rng) const;

  // Parameters of all kernels, named as MappedNetwork does.
  nn::TensorMap kernel_state() const;

 private:
  // Several models at once, for a GPU. Where every layer has as many paths as there are models, a
  // strict-fair step uses each path once: path p of a layer runs the images of whichever model
  // chose it. The work is then the same in every step but for the order of models, which
  // choose_models() writes to the device, so that a step can be recorded.
  bool can_run_together(const std::vector<Choice>& choices) const;
  void choose_models(const std::vector<Choice>& choices);
  // Outputs of all models, [models · N, ...], model by model, on a batch repeated for each.
  nn::Tensor forward_models(const nn::Batch& repeated);

  // Where every path is an integer kernel, any number of models of any choice: what tells paths of
  // a layer apart is then a handful of numbers, which choose_codes() writes to the device.
  bool can_run_by_codes(const std::vector<std::vector<double>>& strength) const;
  void choose_codes(const std::vector<Choice>& choices);
  nn::Tensor forward_codes(const std::vector<nn::Tensor>& inputs, std::int64_t model);

  const Space* space_;
  nn::Network network_;
  std::vector<std::vector<std::unique_ptr<nn::LayerKernel>>>
      kernels_;            // [layer][path], null: float32
  nn::Tensor noise_seed_;  // of training noise; steps recorded on a GPU read it
  nn::Tensor model_of_;    // int64 [layer, path], on the network's device
  nn::Tensor path_of_;     // int64 [layer, model]
  nn::Tensor codes_;       // [model, layer, 4], IntegerKernel::training_codes()
};

}  // namespace tessera::supernet
