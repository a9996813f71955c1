// SPDX-License-Identifier: Apache-2.0
#include "nn/quant/learned_step.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/layer_fixture.h"

namespace tessera::nn {
namespace {

using detail::learned_quantize;
using test::normal;

Tensor scalar(double value) {
  return torch::full({}, value, torch::kFloat32);
}

RangeObserver observed(const Tensor& x) {
  RangeObserver observer;
  observer.add(x);
  return observer;
}

// By hand, from equations 1 to 3 and 5 of the paper, with -Q_N = -4, Q_P = 3 and s = 2.
TEST(LearnedStep, HasThePublishedValuesAndGradients) {
  const Tensor v = torch::tensor({-18.0F, -4.5F, 0.75F, 3.5F, 18.0F}).requires_grad_();
  const Tensor step = scalar(2).requires_grad_();
  const Tensor y = learned_quantize(v, step, scalar(-4), scalar(3), 0.25);
  EXPECT_TRUE(y.equal(torch::tensor({-8.0F, -4.0F, 0.0F, 4.0F, 6.0F})));
  const Tensor upstream = torch::tensor({1.0F, 2.0F, 4.0F, 8.0F, 16.0F});
  (y * upstream).sum().backward();
  EXPECT_TRUE(v.grad().equal(torch::tensor({0.0F, 2.0F, 4.0F, 8.0F, 0.0F})));
  // v/s is -9, -2.25, 0.375, 1.75, 9: -4, 0.25, -0.375, 0.25 and 3.
  EXPECT_EQ(step.grad().item<float>(), 0.25F * (-4 + 2 * 0.25F - 4 * 0.375F + 8 * 0.25F + 16 * 3));
}

// What rounds is not smooth in its step, and what the gradient stands for instead is v̂ with the
// rounding error in codes held; where values saturate both are the same line.
TEST(LearnedStep, GradientsAgreeWithFiniteDifferences) {
  const Tensor x = normal({6, 40}, 50) * 3;
  const Tensor steps = torch::rand({6}, test::generator(51)) + 0.5;
  const Tensor weights = normal({6, 40}, 52);
  const Tensor parameter = steps.clone().requires_grad_();
  (learned_quantize(x, parameter, scalar(-4), scalar(3), 1) * weights).sum().backward();

  const Tensor wide = x.to(torch::kFloat64);
  const Tensor s = steps.to(torch::kFloat64).unsqueeze(1);
  const Tensor error = (wide / s).round() - wide / s;
  const auto surrogate = [&](double change) {
    const Tensor v = wide / (s + change);
    const Tensor code = at::where((wide / s > -4).logical_and(wide / s < 3), v + error,
                                  torch::clamp(wide / s, -4, 3));
    return (code * (s + change) * weights).sum(1);
  };
  const double h = 1e-5;
  const Tensor differences = (surrogate(h) - surrogate(-h)) / (2 * h);
  EXPECT_TRUE(parameter.grad().to(torch::kFloat64).allclose(differences, 1e-4, 1e-4));

  // The quantiser itself, where all values saturate.
  const Tensor beyond = torch::tensor({-30.0F, 25.0F, 40.0F, -28.0F});
  const Tensor one = scalar(1.5).requires_grad_();
  const Tensor up = torch::tensor({1.0F, -2.0F, 0.5F, 3.0F});
  const auto value = [&](double step) {
    const torch::NoGradGuard no_grad;
    return (learned_quantize(beyond, scalar(step), scalar(-4), scalar(3), 1) * up)
        .sum()
        .item<double>();
  };
  (learned_quantize(beyond, one, scalar(-4), scalar(3), 1) * up).sum().backward();
  EXPECT_NEAR(one.grad().item<double>(), (value(1.75) - value(1.25)) / 0.5, 1e-5);
}

TEST(LearnedStep, StaysPositiveBelowZero) {
  const Tensor x = normal({2, 30}, 53);
  const auto gradient = [&](const Tensor& parameter) {
    const Tensor leaf = parameter.clone().requires_grad_();
    const Tensor y = learned_quantize(x, leaf, scalar(-4), scalar(3), 1);
    y.square().sum().backward();
    return std::pair(y.detach(), leaf.grad());
  };
  const auto [plain, of_plain] = gradient(torch::tensor({0.5F, 0.25F}));
  const auto [mirrored, of_mirrored] = gradient(torch::tensor({-0.5F, 0.25F}));
  EXPECT_TRUE(mirrored.equal(plain));
  EXPECT_TRUE(of_mirrored.equal(of_plain * torch::tensor({-1.0F, 1.0F})));
  EXPECT_TRUE(
      detail::steps_of(torch::tensor({0.0F, -65536.0F})).equal(torch::tensor({1.0F, 65536.0F})));
  EXPECT_GT(detail::steps_of(torch::zeros({3})).min().item<float>(), 0);
}

TEST(LearnedStep, GradientScaleIsThePapers) {
  EXPECT_DOUBLE_EQ(detail::step_gradient_scale(9, -7, 7), 1 / std::sqrt(63.0));
  EXPECT_DOUBLE_EQ(detail::step_gradient_scale(4, -16, 0), 1 / std::sqrt(64.0));
}

class LearnedSteps : public testing::TestWithParam<int> {
 protected:
  LearnedSteps() : layer_(test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 54)) {
    layer_.x = layer_.x.clamp_min(-0.3);
  }
  IntegerKernel kernel() const {
    return {format::Integer{3, 4, GetParam()},
            activation_code(observed(layer_.x), 4, {.method = RangeMethod::kMinMax}), torch::kCPU,
            RangeMethod::kMinMax};
  }
  test::OneLayer layer_;
};

TEST_P(LearnedSteps, StartFromTheCalibratedCodes) {
  IntegerKernel kernel = this->kernel();
  const plan::LayerNumerics before = kernel.numerics(layer_.weight);
  const Tensor expected = kernel.forward(layer_.call());
  EXPECT_TRUE(kernel.parameters().empty());
  kernel.learn_steps(layer_.weight);
  EXPECT_TRUE(kernel.forward(layer_.call()).equal(expected));
  EXPECT_EQ(kernel.numerics(layer_.weight), before);
  EXPECT_FALSE(kernel.has_training_codes());
  const auto parameters = kernel.parameters();
  ASSERT_EQ(parameters.size(), 2U);
  EXPECT_EQ(parameters[0].numel(), static_cast<std::int64_t>(before.weights.scales.size()));
  EXPECT_EQ(parameters[0].size(0), layer_.weight.size(0));
  // They are the kernel's own from now on, whatever the weights.
  const torch::NoGradGuard no_grad;
  parameters[0].mul_(2);
  kernel.learn_steps(layer_.weight * 3);
  EXPECT_EQ(kernel.numerics(layer_.weight * 5).weights.scales[0], 2 * before.weights.scales[0]);
}

// One over the root of N·Q_P: N weights share a step, and an image has so many inputs.
TEST_P(LearnedSteps, GradientsOfAKernelAreScaled) {
  IntegerKernel kernel = this->kernel();
  kernel.learn_steps(layer_.weight);
  kernel.set_training(true);
  kernel.forward(layer_.call()).square().sum().backward();

  const plan::LayerNumerics numerics = kernel.numerics(layer_.weight);
  const Tensor weight = fake_quantize(layer_.weight, numerics.weights).requires_grad_();
  const Tensor x = fake_quantize(layer_.x, numerics.input).requires_grad_();
  apply_layer(layer_.op, x, weight, layer_.bias).square().sum().backward();
  const std::int64_t group = GetParam() > 0 ? GetParam() : 72;
  const Tensor v = layer_.weight.reshape({6, 72});
  for (std::int64_t m = 0; m < 6; ++m) {
    const float scale =
        numerics.weights.scales[static_cast<std::size_t>(m * ((71 + group) / group))];
    const Tensor codes = v[m].slice(0, 0, group) / scale;
    const Tensor terms = at::where(codes.abs() < 3, codes.round() - codes, codes.clamp(-3, 3));
    const double expected =
        (terms * weight.grad().reshape({6, 72})[m].slice(0, 0, group)).sum().item<double>() /
        std::sqrt(static_cast<double>(group) * 3);
    EXPECT_NEAR(kernel.parameters()[0].grad()[m][0].item<double>(), expected,
                1e-4 * (1 + std::abs(expected)));
  }
  const double low = numerics.input.low - numerics.input.zero_points[0];
  const double high = numerics.input.high - numerics.input.zero_points[0];
  const Tensor codes = layer_.x / numerics.input.scales[0];
  const Tensor terms = at::where((codes > low).logical_and(codes < high), codes.round() - codes,
                                 codes.clamp(low, high));
  const double expected = (terms * x.grad()).sum().item<double>() / std::sqrt(8 * 7 * 6 * high);
  EXPECT_NEAR(kernel.parameters()[1].grad().item<double>(), expected,
              1e-4 * (1 + std::abs(expected)));
}

// Scales of the extremes are far from the best at 3 and 4 bits.
TEST_P(LearnedSteps, TrainingLowersTheErrorOfALayer) {
  IntegerKernel kernel = this->kernel();
  kernel.learn_steps(layer_.weight);
  kernel.set_training(true);
  const Tensor exact = layer_.exact();
  const auto error = [&] { return (kernel.forward(layer_.call()) - exact).square().mean(); };
  const double before = error().item<double>();
  for (int step = 0; step < 100; ++step) {
    for (const Tensor& parameter : kernel.parameters())
      parameter.mutable_grad() = Tensor();
    error().backward();
    const torch::NoGradGuard no_grad;
    for (const Tensor& parameter : kernel.parameters())
      parameter.sub_(parameter.grad(), 0.05);
  }
  EXPECT_LT(error().item<double>(), 0.9 * before);
}

INSTANTIATE_TEST_SUITE_P(Groups, LearnedSteps, testing::Values(0, 32));

TEST(LearnedStep, KernelsRunAtFullStrengthAlone) {
  const test::OneLayer layer = test::linear_layer(2, 4, 3, 55);
  IntegerKernel kernel(format::Integer{4, 8}, activation_code(observed(layer.x), 8, {}),
                       torch::kCPU);
  kernel.learn_steps(layer.weight);
  kernel.set_training(true);
  kernel.set_strength(0.5);
  EXPECT_THROW(kernel.forward(layer.call()), InternalError);
}

}  // namespace
}  // namespace tessera::nn
