// SPDX-License-Identifier: Apache-2.0
// Training with masks that are kept over several steps.
#include <gtest/gtest.h>

#include "tessera/nn/train/mapped_network.h"
#include "tessera/supernet/supernet.h"

#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

constexpr std::int64_t kSteps = 12;
constexpr std::int64_t kKilledAfter = 6;  // between two refreshes

class StrumMasks : public ::testing::Test {
 protected:
  plan::Path path(std::size_t layer, const std::string& format) const {
    const std::int64_t channels = small_.network.workload().layers[layer].dims.M;
    return {{{"dpu", format::parse_number_format(format).value(), {0, channels}}}};
  }

  nn::Trainer trainer(nn::Trained trained, std::int64_t mask_steps) const {
    return {std::move(trained),
            small_.data,
            small_.preprocessing,
            {.optimizer = nn::Optimizer::kRelativeAdam,
             .steps = kSteps,
             .batch = 20,
             .learning_rate = 0.05,
             .mask_steps = mask_steps},
            Rng(5),
            nullptr};
  }

  test::SmallProblem small_;
  hw::Platform flexnn_ = hw::load_platform("flexnn", {testing::source_file("configs/hardware")});
};

bool same(const std::vector<nn::Tensor>& a, const std::vector<nn::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!a[i].equal(b.at(i)))
      return false;
  }
  return a.size() == b.size();
}

TEST_F(StrumMasks, AMappedNetworkContinuesToTheSameBits) {
  const auto fresh = [&] {
    plan::Assignment assignment;
    for (std::size_t i = 0; i < small_.network.layers().size(); ++i)
      assignment.paths.push_back(path(i, "strum:mip2q,p=0.5,L=5"));
    return nn::MappedNetwork(small_.network, assignment, flexnn_, small_.ranges);
  };
  const auto advance = [](nn::MappedNetwork& mapped, nn::Trainer& trainer, std::int64_t until) {
    mapped.train(trainer, Rng(6), [&](const nn::Trainer& now, const nn::Tensor&) {
      return now.steps_done() < until;
    });
  };
  nn::MappedNetwork whole = fresh();
  nn::Trainer first = trainer(whole.trained(), 4);
  advance(whole, first, kKilledAfter);
  const nn::TensorMap state = first.state();
  advance(whole, first, kSteps);

  const auto resumed_from = [&](const nn::TensorMap& tensors) {
    nn::MappedNetwork mapped = fresh();
    nn::Trainer second = trainer(mapped.trained(), 4);
    second.restore(tensors);
    advance(mapped, second, kSteps);
    return mapped.parameters();
  };
  EXPECT_TRUE(same(resumed_from(state), whole.parameters()));
  // The masks are what makes that so: computed anew they are others.
  nn::TensorMap without = state;
  for (auto& [name, tensor] : without) {
    if (name.starts_with("buffer."))
      tensor = torch::empty({0}, torch::kUInt8);
  }
  EXPECT_FALSE(same(resumed_from(without), whole.parameters()));

  nn::MappedNetwork every_step = fresh();
  nn::Trainer always = trainer(every_step.trained(), 1);
  advance(every_step, always, kSteps);
  EXPECT_FALSE(same(every_step.parameters(), whole.parameters()));
}

TEST_F(StrumMasks, ASupernetContinuesToTheSameBits) {
  Space space;
  for (std::size_t i = 0; i < small_.network.layers().size(); ++i)
    space.push_back({path(i, "int8"), path(i, "strum:sparsity,p=0.5")});
  const std::vector<std::size_t> counts(space.size(), 2);
  const std::vector<std::vector<double>> full(space.size(), {1, 1});
  const auto advance = [&](Supernet& net, nn::Trainer& trainer, std::int64_t until) {
    while (trainer.steps_done() < until) {
      const Rng rng = Rng(7).split(static_cast<std::uint64_t>(trainer.steps_done()));
      net.fair_step(trainer, rng, full, strict_fair_choices(counts, rng));
    }
  };
  Supernet whole(small_.network, space, flexnn_, small_.ranges);
  nn::Trainer first = trainer(whole.trained(), 5);
  advance(whole, first, kKilledAfter + 1);
  const nn::TensorMap state = first.state();
  advance(whole, first, kSteps);

  Supernet resumed(small_.network, space, flexnn_, small_.ranges);
  nn::Trainer second = trainer(resumed.trained(), 5);
  second.restore(state);
  advance(resumed, second, kSteps);
  EXPECT_TRUE(same(resumed.parameters(), whole.parameters()));
}

}  // namespace
}  // namespace tessera::supernet
