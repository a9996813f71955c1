// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// LionHeart (Lammie et al., IEEE Transactions on Emerging Topics in Computing 2025): layers in
// descending order of MACs go to analog tiles one after another. Each is trained with noise, on the
// weights of the last accepted mapping, until accuracy stops improving, and stays where the loss
// against the digital network keeps a threshold.
struct LionheartOptions {
  double threshold = 0.02;       // most accuracy to lose against the digital network, 0 to 1
  std::int64_t patience = 5;     // evaluations below the best before a layer's training ends
  std::int64_t evaluations = 8;  // at most, of one layer, evenly over its steps
  std::int64_t steps = 1000;     // of all layers together; what one leaves goes to the next ones
  nn::TrainingOptions training;  // its steps are ignored
};

class Lionheart final : public Strategy {
 public:
  explicit Lionheart(const LionheartOptions& options) : options_(options) {}
  // The front holds the digital mapping (int8 where the space has it, else a layer's first digital
  // path) and every mapping that was accepted, each with weights of its own.
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  LionheartOptions options_;
};

// Ends a training: told a score after each evaluation, it says whether to stop, which is when the
// last `evaluations` scores are all below the best one before them.
class Patience {
 public:
  explicit Patience(std::int64_t evaluations) : last_(static_cast<std::size_t>(evaluations), 0.0) {}

  // True: stop. improved() then tells whether this score was the best so far.
  bool stop_after(double score);
  bool improved() const { return improved_; }
  double best() const { return best_; }

  const std::deque<double>& last() const { return last_; }
  void restore(std::deque<double> last, double best);

 private:
  std::deque<double> last_;
  double best_ = 0;
  bool improved_ = false;
};

// The greedy rule alone. `position` runs over `order`; `best_with(layer)` gives the best score with
// this layer added to those accepted, or none when the search is to end; a layer is accepted at
// `bar` or above, and `decided` is told. Continues from `position`.
void accept_greedily(const std::vector<std::size_t>& order, double bar, std::size_t& position,
                     const std::function<std::optional<double>(std::size_t)>& best_with,
                     const std::function<void(std::size_t, bool)>& decided);

}  // namespace tessera::supernet
