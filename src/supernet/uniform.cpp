// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/uniform.h"

#include <algorithm>

#include "tessera/supernet/supernet.h"

namespace tessera::supernet {

Solution Uniform::run(const Problem& problem, Observer& observer) {
  const Supernet net(problem.network, problem.space, problem.model.platform(), problem.ranges);
  const nn::Split images = nn::take(problem.data.validation, problem.evaluation.images);
  std::size_t formats = 0;
  for (const auto& paths : problem.space)
    formats = std::max(formats, paths.size());
  Solution solution;
  for (std::size_t format = 0; format < formats && observer.keep_going(); ++format) {
    Choice choice;
    for (const auto& paths : problem.space) {
      choice.push_back(static_cast<int>(std::min(format, paths.size() - 1)));
    }
    const auto cost = problem.model.evaluate(assignment_of(problem.space, choice));
    if (!cost)
      continue;
    const plan::Accuracy accuracy =
        net.measure(choice, images, problem.preprocessing, problem.evaluation.chips,
                    problem.rng.split("evaluation"))
            .front();
    solution.front.push_back({choice, cost->totals, accuracy});
    ++solution.evaluations;
    observer.found(solution.front, net.network(), net.kernel_state());
    observer.progress(static_cast<double>(format + 1) / static_cast<double>(formats), "uniform");
  }
  solution.network = net.network().clone();
  solution.kernel_state = net.kernel_state();
  return solution;
}

}  // namespace tessera::supernet
