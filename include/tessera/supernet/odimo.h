// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// ODiMO (Risso et al., ISLPED 2023 and arXiv 2409.18566): each output channel chooses its unit by a
// softmax whose parameters are trained with the weights, on the task's loss plus the cost of the
// expected numbers of channels on units that work in parallel. Each channel then keeps its most
// probable unit, and the network is fine-tuned.
//
// Every strength of the cost gives one mapping; together they are the front. They share the steps
// evenly. A layer's choice is sharing_paths(). What differs from the publication: analog parts are
// noisy in training as they are on chips, and the cost is the mean of energy and latency, each
// relative to the layers on their first path alone.
struct OdimoOptions {
  std::vector<double> strengths = {0.05, 0.2, 0.8, 3};  // λ of the cost in the loss
  std::int64_t steps = 1000;        // of all strengths, searches and fine-tunings
  double search_share = 0.5;        // of a strength's steps; the rest fine-tunes
  double temperature = 1;           // of the softmax at the start
  double final_temperature = 0.05;  // at the end of a search, reached exponentially
  double alpha_rate = 0.05;         // of Adam, on the softmax's parameters
  nn::TrainingOptions training;     // its steps are ignored
};

class Odimo final : public Strategy {
 public:
  explicit Odimo(OdimoOptions options) : options_(std::move(options)) {}
  // Throws UsageError when no layer has two units to choose from.
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  OdimoOptions options_;
};

}  // namespace tessera::supernet
