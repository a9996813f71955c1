// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/trainer.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

namespace tessera::nn {
namespace {

constexpr std::int64_t kImages = 40;

// The brightest of the first three pixels is the class.
Dataset noise_images() {
  torch::manual_seed(3);
  Dataset data;
  const Tensor images = torch::randint(0, 256, {kImages, 1, 4, 4}, torch::kUInt8);
  data.train = {"train", images, images.flatten(1).slice(1, 0, 3).argmax(1)};
  data.classes = 3;
  return data;
}

const Preprocessing kHalf{.mean = {0.5}, .std = {0.5}, .source = "test"};

// A linear classifier, its weights and biases.
std::vector<Tensor> fresh_parameters() {
  torch::manual_seed(4);
  return {torch::randn({3, 16}), torch::zeros({3})};
}

Tensor classify(const std::vector<Tensor>& parameters, const Tensor& x) {
  return x.flatten(1).matmul(parameters[0].t()) + parameters[1];
}

class EachOptimizer : public ::testing::TestWithParam<Optimizer> {
 protected:
  // Takes `steps` of 24 steps.
  static void advance(Trainer& trainer, const std::vector<Tensor>& parameters, int steps) {
    for (int i = 0; i < steps; ++i) {
      trainer.step([&](const Batch& batch) {
        const Tensor loss = trainer.loss(classify(parameters, batch.inputs[0]), batch);
        loss.backward();
        return loss.detach();
      });
    }
  }
  TrainingOptions options() const {
    return {.optimizer = GetParam(), .steps = 24, .batch = 10, .learning_rate = 0.2};
  }
};

TEST_P(EachOptimizer, ContinuesFromItsStateToTheSameBits) {
  const Dataset data = noise_images();
  const std::vector<Tensor> whole = fresh_parameters();
  Trainer first({whole}, data, kHalf, options(), Rng(1), nullptr);
  advance(first, whole, 11);
  const TensorMap state = first.state();
  advance(first, whole, 13);
  EXPECT_TRUE(first.done());

  const std::vector<Tensor> resumed = fresh_parameters();
  Trainer second({resumed}, data, kHalf, options(), Rng(1), nullptr);
  second.restore(state);
  EXPECT_EQ(second.steps_done(), 11);
  advance(second, resumed, 13);
  EXPECT_TRUE(whole[0].equal(resumed[0]));
  EXPECT_TRUE(whole[1].equal(resumed[1]));
}

TEST_P(EachOptimizer, LowersTheLoss) {
  const Dataset data = noise_images();
  const std::vector<Tensor> parameters = fresh_parameters();
  const auto loss = [&] {
    const torch::NoGradGuard no_grad;
    const Tensor logits = classify(parameters, normalize(data.train.images, kHalf));
    return at::cross_entropy_loss(logits, data.train.labels).item<double>();
  };
  const double before = loss();
  Trainer trainer({parameters}, data, kHalf, options(), Rng(1), nullptr);
  advance(trainer, parameters, 24);
  EXPECT_LT(loss(), before - 0.2);
}

TEST_P(EachOptimizer, RefusesStatesOfOtherShapes) {
  const Dataset data = noise_images();
  const std::vector<Tensor> parameters = fresh_parameters();
  Trainer trainer({parameters}, data, kHalf, options(), Rng(1), nullptr);
  TensorMap state = trainer.state();
  state["momentum.0"] = torch::zeros({2, 2});
  EXPECT_THROW(trainer.restore(state), IoError);
  state.erase("momentum.0");
  EXPECT_THROW(trainer.restore(state), IoError);
}

INSTANTIATE_TEST_SUITE_P(All, EachOptimizer,
                         ::testing::Values(Optimizer::kSgd, Optimizer::kRelativeAdam));

// A channel whose weights are smaller, and which something behind scales up again, moves by the
// same share of its size.
TEST(RelativeAdam, StepsAreRelativeToEachChannel) {
  const Dataset data = noise_images();
  const auto relative_change = [&](const Tensor& factor) {
    torch::manual_seed(5);
    const Tensor start = torch::randn({3, 16});
    // One RMS for all, so that no channel is near the least that counts.
    const Tensor weight = (start / start.square().mean({1}, true).sqrt() * factor).clone();
    const Tensor before = weight.clone();
    Trainer trainer(
        {{weight}}, data, kHalf,
        {.optimizer = Optimizer::kRelativeAdam, .steps = 1, .batch = 10, .weight_decay = 0}, Rng(1),
        nullptr);
    trainer.step([&](const Batch& batch) {
      const Tensor logits = batch.inputs[0].flatten(1).matmul((weight / factor).t());
      const Tensor loss = trainer.loss(logits, batch);
      loss.backward();
      return loss.detach();
    });
    const torch::NoGradGuard no_grad;
    return Tensor((weight - before) / factor);
  };
  const Tensor plain = relative_change(torch::ones({3, 1}));
  const Tensor scaled = relative_change(torch::tensor({1.0F, 0.5F, 2.0F}).reshape({3, 1}));
  EXPECT_TRUE(torch::allclose(plain, scaled, 1e-4, 1e-7));
  EXPECT_GT(plain.abs().max().item<double>(), 0);
}

TEST(CheckedLoss, SaysThatTrainingDiverged) {
  const Dataset data = noise_images();
  const std::vector<Tensor> parameters = fresh_parameters();
  const Trainer trainer({parameters}, data, kHalf, {.steps = 1, .batch = 10}, Rng(1), nullptr);
  EXPECT_EQ(checked_loss(trainer, torch::tensor(0.25)), 0.25);
  try {
    checked_loss(trainer, torch::tensor(std::numeric_limits<float>::quiet_NaN()));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("training diverged at step 0: the loss is nan"));
  }
}

}  // namespace
}  // namespace tessera::nn
