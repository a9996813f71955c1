// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/supernet/adapt.h"
#include "tessera/supernet/mps.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

struct MpaasOptions {
  AdaptOptions adapt;
  // Networks among which widths are chosen, from the problem's own (left out when there is one
  // alone) to the widest that `adapt` allows. They share the budget of `mps` evenly.
  std::int64_t networks = 1;
  std::int64_t calibration_images = 1000;  // for ranges of the widened networks' inputs
  // Float training of every widened network before its search (0 steps: none), by kSgd with
  // normalization; beyond the budget of `mps`. The search then starts from what it gives, which is
  // the teacher, too.
  nn::TrainingOptions widened;
  MpsOptions mps;
};

// MPS with platform-aware adaptations (Benmeziane et al., Nature Communications 2026): networks
// that fill the tiles better are searched as the problem's own is, and all compete in one front.
// docs/decisions/0010-adaptations.md says why so.
class Mpaas final : public Strategy {
 public:
  explicit Mpaas(const MpaasOptions& options) : options_(options) {}
  // The front's members come with weights of their own. Throws UsageError when nothing can be
  // widened.
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  double float_share_of(const MpsOptions& mps, const Space& space) const;

  MpaasOptions options_;
};

// A network of the problem's layers with other widths, with the problem's paths.
Adapted make_adapted(const Problem& problem, ir::Graph start, std::int64_t calibration_images,
                     int number);

}  // namespace tessera::supernet
