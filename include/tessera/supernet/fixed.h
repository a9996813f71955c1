// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// A mapping by a rule, with nothing to search: the weights stay as they came, so that all training
// of the budget is the chosen mapping's.
class Fixed final : public Strategy {
 public:
  explicit Fixed(plan::Assignment assignment) : assignment_(std::move(assignment)) {}
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  plan::Assignment assignment_;
};

}  // namespace tessera::supernet
