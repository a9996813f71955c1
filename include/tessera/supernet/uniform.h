// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// One format for the whole network, each candidate format in turn, weights as they came: what every
// search must beat. A layer that lacks a format takes its last candidate.
class Uniform final : public Strategy {
 public:
  Solution run(const Problem& problem, Observer& observer) override;
};

}  // namespace tessera::supernet
