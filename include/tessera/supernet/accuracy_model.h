// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tessera/nn/train/trainer.h"
#include "tessera/supernet/strategy.h"
#include "tessera/supernet/supernet.h"

namespace tessera::supernet {

// How accurate candidate mappings are inside a search, on the validation part. A search does not
// see which way is taken.
class AccuracyModel {
 public:
  virtual ~AccuracyModel() = default;
  // Whatever has to come before the first measurement. Continues after a kill from what it saved;
  // done when it returns true, interrupted when false. `share` of the search's progress is its own.
  virtual bool prepare(Observer& observer, double share) = 0;
  virtual plan::Accuracy measure(const Choice& choice) = 0;
  // Images times backward passes so far, `measured` candidates included.
  virtual std::int64_t training_samples(std::int64_t measured) const = 0;
  // The weights under which candidates are measured, or from which each starts; and kernels' state.
  virtual const nn::Network& network() const = 0;
  virtual nn::TensorMap kernel_state() const = 0;
};

// One network whose weights all candidates share, trained over all paths at once: in each step the
// widest model, the narrowest and some drawn at random ("sandwich rule", Yu and Huang, ICCV 2019,
// for widths in bits) with the float network as the teacher. Each path keeps the input code of its
// own width; batch normalization is folded, so that there are no statistics to switch. With no
// steps, candidates are measured as calibrated, without training.
struct SharedWeightsOptions {
  nn::TrainingOptions training;  // its steps count; 0: calibrated
  std::int64_t models = 4;       // per step, at least 2
  std::int64_t images = 1000;    // of the validation part
  // Where trained weights are kept for other runs on the same network, data, paths and options;
  // read when it is there. Empty: they stay in the run's folder.
  std::string file;
};
std::unique_ptr<AccuracyModel> make_shared_weights(const Problem& problem,
                                                   const SharedWeightsOptions& options);

// Each candidate is trained for so many steps from the float network, then measured: the way of
// Klhufek et al.
struct ShortTrainingOptions {
  nn::TrainingOptions training;
  std::int64_t images = 1000;
};
std::unique_ptr<AccuracyModel> make_short_training(const Problem& problem,
                                                   const ShortTrainingOptions& options);

}  // namespace tessera::supernet
