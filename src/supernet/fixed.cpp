// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/fixed.h"

#include "tessera/core/error.h"

namespace tessera::supernet {

Solution Fixed::run(const Problem& problem, Observer& observer) {
  const auto cost = problem.model.evaluate(assignment_);
  if (!cost)
    throw UsageError("strategy fixed: the mapping does not fit: " + cost.error().detail);
  const nn::MappedNetwork mapped(problem.network, assignment_, problem.model.platform(),
                                 problem.ranges);
  nn::ChipPlan plan = problem.evaluation.chips;
  plan.seconds.resize(1);
  const nn::Split images = nn::take(problem.data.validation, problem.evaluation.images);
  const plan::Accuracy accuracy =
      mapped.measure(images, problem.preprocessing, plan, problem.rng.split("evaluation")).front();
  Solution solution;
  solution.front.push_back(
      {.choice = {}, .totals = cost->totals, .accuracy = accuracy, .made = assignment_});
  solution.weights.push_back(Weights::of(mapped.network(), mapped.kernel_state()));
  solution.evaluations = 1;
  report_best(problem, solution.front, solution.weights, observer);
  return solution;
}

}  // namespace tessera::supernet
