// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// What the supernetwork's training leaves out or in, as in the ablation of the paper: digital paths
// in their formats or in float32, and analog paths without noise, at full noise from the first step
// on, or at noise that rises by each layer's sensitivity.
enum class TrainingNoise { kNone, kFull, kScaled };
struct TrainingEffects {
  bool quantisation = true;
  TrainingNoise noise = TrainingNoise::kScaled;
};

// Strength at which a path of this format is trained where the ramp of its layer stands at `ramp`.
double training_strength(const TrainingEffects& effects, const format::NumberFormat& format,
                         double ramp);

// Mixed-precision supernetwork search (Benmeziane et al., Nature Communications 2026), in the order
// in which it runs.
struct MpsOptions {
  // Phase 1, fairness: strict-fair steps at a fixed low strength of quantisation and noise.
  std::int64_t fair_steps = 100;
  double fair_strength = 0.3;
  // Between phases: accuracy drop of the network with one layer alone on one path at full strength.
  std::int64_t sensitivity_images = 1000;
  // Phase 2, progressive noise and quantisation: strict-fair steps in which each layer's strength
  // rises to 1; the most sensitive layer reaches it after `slowest_ramp` of the phase, the least
  // after `fastest_ramp`.
  std::int64_t ramp_steps = 300;
  double fastest_ramp = 0.2;
  double slowest_ramp = 0.7;
  TrainingEffects effects;
  nn::TrainingOptions training;  // batch, rates, distillation of both phases; its steps are ignored
  // Phase 3, rank-preserving fine-tuning of the selection parameters.
  std::int64_t rounds = 12;
  std::int64_t samples_per_round = 24;
  double exploration = 0.15;     // share of uniform sampling mixed into the distribution
  std::int64_t rank_steps = 30;  // gradient steps on the selection parameters after each round
  double rank_rate = 0.1;        // of Adam
  double margin = 0.1;           // of the pairwise hinge
  std::int64_t selection_images = 1000;
  std::int64_t selection_chips = 1;
};

class Mps final : public Strategy {
 public:
  explicit Mps(const MpsOptions& options) : options_(options) {}
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  MpsOptions options_;
};

// Selection parameters: one real number for each candidate path of each layer, a softmax per layer.
class Selection {
 public:
  explicit Selection(const Space& space);

  // Σ_layers log softmax(α_l)[choice_l].
  double log_probability(const Choice& choice) const;
  Choice sample(double exploration, Rng& rng) const;
  // Each layer of `parent` is drawn anew with probability 2 / layers, at least one.
  Choice mutate(const Choice& parent, double exploration, Rng& rng) const;
  // The most probable path of each layer; ties to the first.
  Choice mode() const;

  // Pairwise rank-preserving loss: mean over ordered pairs with rank i < rank j of
  // max(0, margin - (lp(i) - lp(j))), lowered by `steps` steps of Adam. Returns the loss before the
  // first.
  double fit(const std::vector<Choice>& choices, const std::vector<int>& ranks,
             const MpsOptions& options);

  const std::vector<std::vector<double>>& parameters() const { return alpha_; }
  void set_parameters(std::vector<std::vector<double>> alpha);

 private:
  std::vector<std::vector<double>> alpha_;  // [layer][path]
};

}  // namespace tessera::supernet
