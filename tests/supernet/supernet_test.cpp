// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/supernet.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "small_problem.h"

namespace tessera::supernet {
namespace {

Space widths_of(const Space& like) {
  Space space = like;
  for (auto& paths : space) {
    const plan::Path any = paths.front();
    paths.clear();
    for (const auto& [weights, activations] :
         std::vector<std::pair<int, int>>{{8, 8}, {4, 8}, {3, 5}, {2, 2}}) {
      plan::Path& path = paths.emplace_back(any);
      path.parts.front().format =
          format::Integer{.weight_bits = weights, .activation_bits = activations};
    }
  }
  return space;
}

std::vector<Choice> drawn_choices(const Space& space, std::size_t models, Rng rng) {
  std::vector<Choice> choices(models);
  for (Choice& choice : choices) {
    for (const auto& paths : space)
      choice.push_back(static_cast<int>(rng.below(paths.size())));
  }
  return choices;
}

// On any device a step reads what tells integer kernels apart from tensors, so that it can be
// recorded. It must update as the kernels themselves do.
TEST(Supernet, AStepOverIntegersUpdatesAsItsKernelsDo) {
  const test::SmallProblem small;
  const Space space = widths_of(small.space);
  const nn::TrainingOptions options{.steps = 5, .batch = 16};
  const std::vector<std::vector<double>> full(space.size(), std::vector<double>(4, 1.0));

  const auto trained = [&](const auto& step) {
    Supernet net(small.network, space, small.platform, small.ranges);
    nn::Trainer trainer(net.trained(), small.data, small.preprocessing, options, Rng(3), nullptr);
    while (!trainer.done()) {
      const auto number = static_cast<std::uint64_t>(trainer.steps_done());
      step(net, trainer, drawn_choices(space, 3, Rng(4).split(number)));
    }
    return trainer.state();
  };
  const nn::TensorMap together =
      trained([&](Supernet& net, nn::Trainer& trainer, const std::vector<Choice>& choices) {
        net.fair_step(trainer, Rng(5), full, choices);
      });
  const nn::TensorMap one_by_one =
      trained([&](Supernet& net, nn::Trainer& trainer, const std::vector<Choice>& choices) {
        net.prepare_training(Rng(5), full);
        trainer.step([&](const nn::Batch& batch) {
          nn::Tensor sum = torch::zeros({});
          for (const Choice& choice : choices) {
            const nn::Tensor loss = trainer.loss(net.forward(batch.inputs, choice), batch) / 3.0;
            loss.backward();
            sum += loss.detach();
          }
          return sum;
        });
      });
  EXPECT_TRUE(test::same_tensors(together, one_by_one));
}

}  // namespace
}  // namespace tessera::supernet
