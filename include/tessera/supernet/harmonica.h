// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/channels.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// Harmonica (Behnam et al., IPDPS 2024; preprint HybridAC, arXiv 2208.13896) sends the weights that
// bear noise worst to a digital unit beside the crossbars, and holds the two in different
// precisions. Its text and code were not at hand: what is here is reconstructed from the abstracts.
//
// Reconstructed: weights move by output channels, since both units can then work on a layer without
// adding partial sums. A channel's sensitivity is the loss that noise on its weights is expected to
// cost to second order, Σ (∂L/∂w)² · (largest |w| of the channel)² over training batches: noise on
// tiles is relative to a column's largest weight, and squared gradients estimate the loss's
// curvature (Fisher information). Channels go to the digital unit by sensitivity per MAC until a
// share of the network's MACs is there. Every share gives one mapping, trained with noise on the
// weights of the one before (the preprint does without training); together they are the front.
struct HarmonicaOptions {
  std::vector<double> digital_shares = {0.4, 0.2, 0.1, 0.05};  // of MACs, descending
  std::int64_t steps = 1000;              // of all shares together, sensitivity included
  std::int64_t sensitivity_batches = 16;  // at most a tenth of the steps
  nn::TrainingOptions training;           // its steps are ignored
};

class Harmonica final : public Strategy {
 public:
  explicit Harmonica(HarmonicaOptions options) : options_(std::move(options)) {}
  // Throws UsageError when no layer has both a digital and an analog path.
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  HarmonicaOptions options_;
};

// Puts groups of channels on digital paths, the most sensitive per MAC first, until these hold
// `share` of all `macs` (one number per layer); the others go to tiles. sensitivity[layer][group].
// Layers without both kinds of path stay on their first one, and digital ones among them count.
void share_by_sensitivity(const std::vector<std::vector<double>>& sensitivity,
                          std::span<const double> macs, double share,
                          std::vector<ChannelChoice>& choices);

}  // namespace tessera::supernet
