// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet::detail {

// The work of a method that trains one mapping after another, each with weights of its own: what is
// finished, as checkpoint NAME and one for each mapping, and the training that is going on, as
// NAME.training.
class Members {
 public:
  // Continues from the observer's checkpoints. `turns`: mappings in all, for progress.
  Members(std::string_view name, std::size_t turns, const Problem& problem, Observer& observer);

  // Turns that are over, each with a mapping or without.
  std::size_t turn() const { return turn_; }
  const std::vector<Weights>& weights() const { return weights_; }
  // This turn's part of `steps`; those of all turns are all of them.
  std::int64_t share_of(std::int64_t steps) const;

  // Trains until `trainer` is done, saving now and then with what `extra` (if any) adds to the
  // tensors, under `phase`. `total`: steps of this turn's trainings, `before` of them done earlier.
  // `step` takes one and gives its loss. False when the run is to end first.
  struct Stretch {
    std::string phase;
    std::int64_t before = 0;
    std::int64_t total = 0;
  };
  bool train(nn::Trainer& trainer, const Stretch& stretch, const std::function<nn::Tensor()>& step,
             const std::function<void(Checkpoint&)>& extra);
  // The same for a mapping, with noise from `rng`.
  bool train(nn::MappedNetwork& mapped, nn::Trainer& trainer, const Stretch& stretch,
             const Rng& rng, const std::function<void(Checkpoint&)>& extra);
  // The checkpoint of this turn's training in this phase, if it was saved last.
  std::optional<Checkpoint> training(const std::string& phase) const;

  // Ends the turn with a trained mapping, measured on the problem's chips, or without one (it does
  // not fit). `steps`: what the turn trained.
  void add(const nn::MappedNetwork& mapped, const plan::Totals& totals, std::int64_t steps);
  void skip(std::int64_t steps);

  void trace(const plan::TracePoint& point);
  Solution solution(std::int64_t batch) const;

 private:
  bool goes_on(const nn::Trainer& trainer, const nn::Tensor& loss, const Stretch& stretch,
               const std::function<void(Checkpoint&)>& extra);
  void save_training(const nn::Trainer& trainer, const Stretch& stretch,
                     const std::function<void(Checkpoint&)>& extra);
  void save();
  void restore();

  std::string name_;
  std::size_t turns_;
  const Problem& problem_;
  Observer& observer_;
  std::size_t turn_ = 0;
  std::vector<Evaluated> front_;
  std::vector<Weights> weights_;
  std::int64_t steps_ = 0;
  std::vector<plan::TracePoint> trace_;
};

}  // namespace tessera::supernet::detail
