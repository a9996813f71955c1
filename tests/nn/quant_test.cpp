// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/layer_fixture.h"

namespace tessera::nn {
namespace {

using test::normal;

plan::AffineCode code_of(float scale, std::int32_t zero, std::int32_t low, std::int32_t high) {
  return {.scales = {scale}, .zero_points = {zero}, .low = low, .high = high};
}

RangeObserver observed(const Tensor& x) {
  RangeObserver observer;
  observer.add(x);
  return observer;
}

double squared_error(const Tensor& x, const plan::AffineCode& code) {
  return (fake_quantize(x, code) - x).square().mean().item<double>();
}

TEST(Quantize, RoundsHalfToEvenAndSaturates) {
  const Tensor x = torch::tensor({-9.0F, -2.5F, -1.5F, -0.5F, 0.5F, 1.5F, 2.5F, 9.0F});
  const Tensor codes = quantize(x, code_of(1, 0, -4, 3));
  EXPECT_TRUE(codes.equal(torch::tensor({-4, -2, -2, 0, 0, 2, 2, 3}, torch::kInt32)));
  EXPECT_TRUE(quantize(x, code_of(1, 1, -4, 3))
                  .equal(torch::tensor({-4, -1, -1, 1, 1, 3, 3, 3}, torch::kInt32)));
}

class EveryWidth : public testing::TestWithParam<int> {};

TEST_P(EveryWidth, FakeQuantizeIsIdempotentMonotoneAndWithinHalfAStep) {
  const Tensor x = std::get<0>((normal({5000}, 1) * 3).sort());
  for (const bool symmetric : {false, true}) {
    const plan::AffineCode code =
        activation_code(observed(x + 1), GetParam(),
                        {.method = RangeMethod::kMinMax, .symmetric_activations = symmetric});
    const Tensor y = fake_quantize(x, code);
    EXPECT_TRUE(fake_quantize(y, code).equal(y));
    EXPECT_TRUE((y.slice(0, 1) >= y.slice(0, 0, -1)).all().item<bool>());
    const double step = static_cast<double>(code.scales[0]);
    const double low = step * (code.low - code.zero_points[0]);
    const double high = step * (code.high - code.zero_points[0]);
    const Tensor inside = x.logical_and(x >= low).logical_and(x <= high);
    const double error = ((y - x).abs() * inside).max().item<double>();
    // The quotient and the product round to float32: 2^-23 of the range on top.
    EXPECT_LE(error, step / 2 + 3e-7 * (high - low));
    EXPECT_EQ(fake_quantize(torch::zeros({1}), code).item<float>(), 0.0F);
    EXPECT_GE(y.min().item<double>(), low - 1e-6);
    EXPECT_LE(y.max().item<double>(), high * (1 + 1e-6));
  }
}

TEST_P(EveryWidth, FakeQuantizeHasTheBitsOfQuantizeAndDequantize) {
  const Tensor x = normal({6, 5, 3, 3}, 2);
  for (const auto granularity : {WeightGranularity::kPerTensor, WeightGranularity::kPerChannel}) {
    const plan::AffineCode code = weight_code(x, GetParam(), RangeMethod::kMse, granularity);
    EXPECT_TRUE(fake_quantize(x, code).equal(dequantize(quantize(x, code), code)));
  }
  const plan::AffineCode code = activation_code(observed(x.abs()), GetParam(), {});
  const Tensor expected = dequantize(quantize(x, code), code);
  EXPECT_TRUE(fake_quantize(x, code).equal(expected));
  // Memory that is not dense takes LibTorch's operators instead of the loops.
  const Tensor wide = at::stack({x, x}, 4).select(4, 1);
  ASSERT_FALSE(wide.is_non_overlapping_and_dense());
  EXPECT_TRUE(fake_quantize(wide, code).equal(expected));
}

TEST_P(EveryWidth, LeastSquaresNeverLosesToMinMax) {
  const Tensor weight = normal({8, 16, 3, 3}, 3) * at::exp(normal({8, 1, 1, 1}, 4));
  const Tensor x = normal({20000}, 5).pow(3);
  const int bits = GetParam();
  for (const auto granularity : {WeightGranularity::kPerTensor, WeightGranularity::kPerChannel}) {
    EXPECT_LE(squared_error(weight, weight_code(weight, bits, RangeMethod::kMse, granularity)),
              squared_error(weight, weight_code(weight, bits, RangeMethod::kMinMax, granularity)));
  }
  EXPECT_LE(squared_error(weight, weight_code(weight, bits, RangeMethod::kMinMax)),
            squared_error(weight, weight_code(weight, bits, RangeMethod::kMinMax,
                                              WeightGranularity::kPerTensor)) *
                1.0001);
  const RangeObserver observer = observed(x);
  for (const bool symmetric : {false, true}) {
    const CalibrationOptions least{.method = RangeMethod::kMse, .symmetric_activations = symmetric};
    const CalibrationOptions all{.method = RangeMethod::kMinMax,
                                 .symmetric_activations = symmetric};
    // 16 bits resolve finer than a bin: there the histogram's word is good to a percent.
    EXPECT_LE(squared_error(x, activation_code(observer, bits, least)),
              squared_error(x, activation_code(observer, bits, all)) * 1.02);
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, EveryWidth, testing::Values(2, 3, 4, 5, 6, 7, 8, 16));

TEST(FakeQuantize, GradientIsOneInsideAndZeroWhereItSaturates) {
  Tensor x = torch::tensor({-9.0F, -4.4F, -1.2F, 0.0F, 2.9F, 3.4F, 3.6F}).requires_grad_();
  const Tensor weights = torch::arange(1, 8, torch::kFloat32);
  (fake_quantize(x, code_of(1, 0, -4, 3)) * weights).sum().backward();
  EXPECT_TRUE(x.grad().equal(torch::tensor({0.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 0.0F})));
}

TEST(FakeQuantize, GradientIsUntouchedWithoutSaturation) {
  Tensor x = normal({40}, 6).requires_grad_();
  const Tensor g = normal({40}, 7);
  (fake_quantize(x, code_of(0.1F, 0, -127, 127)) * g).sum().backward();
  EXPECT_TRUE(x.grad().equal(g));
}

TEST(FakeFloat16, EqualsTheHardwareConversion) {
  // All exponents and signs, with mantissas that meet every case of rounding.
  const Tensor bits = torch::randint(std::numeric_limits<std::int32_t>::min(),
                                     std::numeric_limits<std::int32_t>::max(), {400000},
                                     test::generator(8), torch::kInt32);
  const Tensor any = bits.view(torch::kFloat32);
  const Tensor moderate = normal({100000}, 9) * at::exp2(normal({100000}, 10) * 8);
  const Tensor ties = torch::tensor({65504.0F, 65519.9F, 65520.0F, 65536.0F, 1.00048828125F,
                                     1.00146484375F, 0x1p-14F, 0x1.ffep-15F, 0x1p-24F, 0x1p-25F,
                                     0x1.8p-25F, 0x1p-26F, 0.0F, -0.0F});
  for (const Tensor& x : {any, moderate, ties}) {
    const Tensor expected = x.to(torch::kFloat16).to(torch::kFloat32);
    EXPECT_TRUE(fake_float16(x).allclose(expected, 0, 0, /*equal_nan=*/true));
    const Tensor numbers = x.masked_select(x.isnan().logical_not());
    EXPECT_TRUE(fake_float16(numbers)
                    .view(torch::kInt32)
                    .equal(numbers.to(torch::kFloat16).to(torch::kFloat32).view(torch::kInt32)));
  }
}

TEST(RangeObserver, DoesNotDependOnTheOrderOfData) {
  const Tensor x =
      at::cat({normal({3000}, 11) * 0.01, normal({3000}, 12), normal({300}, 13) * 900});
  RangeObserver forwards;
  RangeObserver backwards;
  const auto parts = x.chunk(17);
  for (const Tensor& part : parts)
    forwards.add(part);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    backwards.add(*part);
  EXPECT_EQ(forwards.count(), 6300);
  EXPECT_EQ(forwards.min(), backwards.min());
  EXPECT_EQ(forwards.max(), backwards.max());
  for (const double fraction : {0.0, 0.001, 0.1, 0.5, 0.93, 0.999, 1.0})
    EXPECT_EQ(forwards.percentile(fraction), backwards.percentile(fraction));
  EXPECT_EQ(forwards.mse(0.5, 3, -128, 127), backwards.mse(0.5, 3, -128, 127));
  EXPECT_NEAR(forwards.mean(), x.mean().item<double>(), 1e-4);
  EXPECT_NEAR(forwards.std(), x.std(false).item<double>(), 1e-3);
}

TEST(RangeObserver, PercentilesAreWithinABin) {
  const Tensor x = normal({50000}, 14).abs();
  const RangeObserver observer = observed(x);
  const Tensor sorted = std::get<0>(x.sort());
  const double bin = (observer.max() - observer.min()) / (RangeObserver::kBins / 2 - 1);
  for (const double fraction : {0.01, 0.5, 0.9, 0.999, 0.9999}) {
    const auto rank = static_cast<std::int64_t>(fraction * 50000) - 1;
    EXPECT_NEAR(observer.percentile(fraction), sorted[rank].item<double>(), 1.01 * bin);
  }
  EXPECT_EQ(observer.percentile(1), observer.max());
  EXPECT_EQ(observer.percentile(0), observer.min());
}

TEST(RangeObserver, MeanSquaredErrorAgreesWithTheData) {
  // Half zeros, as after a ReLU: they must not count as spread over their bin.
  const Tensor x = normal({100000}, 15).clamp_min(0);
  const RangeObserver observer = observed(x);
  for (const int bits : {2, 4, 8}) {
    for (const auto method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
      const plan::AffineCode code = activation_code(observer, bits, {.method = method});
      const double estimate = observer.mse(static_cast<double>(code.scales[0]), code.zero_points[0],
                                           code.low, code.high);
      EXPECT_NEAR(estimate / squared_error(x, code), 1, 0.03) << bits;
    }
  }
}

TEST(RangeObserver, RefusesValuesThatAreNotFinite) {
  RangeObserver observer;
  EXPECT_THROW(observer.add(torch::tensor({1.0F, std::nanf("")})), UnsupportedError);
  EXPECT_THROW(observer.add(torch::tensor({1.0F, INFINITY})), UnsupportedError);
}

TEST(ActivationCode, CoversTheRangeAndHoldsZeroExactly) {
  const Tensor x = normal({1000}, 16).abs() + 2;  // all far above zero
  const plan::AffineCode code = activation_code(observed(x), 8, {.method = RangeMethod::kMinMax});
  EXPECT_EQ(code.low, -128);
  EXPECT_EQ(code.high, 127);
  EXPECT_EQ(code.zero_points[0], -128);
  EXPECT_NEAR(static_cast<double>(code.scales[0]) * 255, x.max().item<double>(), 1e-5);
  EXPECT_EQ(activation_code(observed(-x), 8, {.method = RangeMethod::kMinMax}).zero_points[0], 127);
  const plan::AffineCode zeros = activation_code(observed(torch::zeros({10})), 8, {});
  EXPECT_TRUE(fake_quantize(torch::zeros({3}), zeros).equal(torch::zeros({3})));
}

TEST(ActivationCode, PercentileLeavesOutliersOut) {
  Tensor x = normal({100000}, 17).abs();
  x[0] = 1000;
  const CalibrationOptions options{.method = RangeMethod::kPercentile, .percentile = 0.999};
  const RangeObserver observer = observed(x);
  const double covered = static_cast<double>(activation_code(observer, 8, options).scales[0]) * 255;
  EXPECT_NEAR(covered, 3.29, 0.5 + 1000.0 / 1024);  // N's 99.95 %, within a bin of 1000/1024
}

TEST(WeightCode, DeadChannelsKeepAScaleThatBiasesFit) {
  Tensor weight = normal({4, 3, 3, 3}, 18);
  weight[2].zero_();
  weight[3].mul_(1e-12);
  const plan::AffineCode code = weight_code(weight, 8, RangeMethod::kMse);
  EXPECT_GE(code.scales[2], code.scales[0] / 200000);
  EXPECT_GE(code.scales[3], code.scales[0] / 200000);
  EXPECT_GT(weight_code(torch::zeros({2, 3}), 4, RangeMethod::kMse).scales[1], 0);
}

// 45 weights a channel: groups of 16, 16 and 13.
TEST(WeightCode, GroupsAreRowsOfTheirOwn) {
  Tensor weight = normal({3, 5, 3, 3}, 19);
  weight[1].flatten().slice(0, 16, 32).mul_(20);
  const plan::AffineCode code = weight_code(weight, format::Integer{4, 8, 16}, RangeMethod::kMse);
  ASSERT_EQ(code.scales.size(), 9U);
  EXPECT_EQ(code.zero_points, std::vector<std::int32_t>(9, 0));
  EXPECT_EQ(code.group, 16);
  const Tensor rows = weight.reshape({3, 45});
  const Tensor grouped = fake_quantize(weight, code).reshape({3, 45});
  for (std::int64_t m = 0; m < 3; ++m) {
    for (std::int64_t g = 0; g < 3; ++g) {
      const auto part = [&](const Tensor& all) {
        return all.slice(0, m, m + 1).slice(1, g * 16, std::min<std::int64_t>(g * 16 + 16, 45));
      };
      const plan::AffineCode alone = weight_code(part(rows), 4, RangeMethod::kMse);
      EXPECT_EQ(code.scales[static_cast<std::size_t>(m * 3 + g)], alone.scales[0]);
      EXPECT_TRUE(part(grouped).equal(fake_quantize(part(rows), alone)));
    }
  }
  EXPECT_TRUE(dequantize(quantize(weight, code), code).equal(grouped.reshape(weight.sizes())));
  EXPECT_LT(squared_error(weight, code),
            squared_error(weight, weight_code(weight, 4, RangeMethod::kMse)));
}

TEST(FakeQuantize, GroupsPassTheGradientStraightThrough) {
  const Tensor weight = normal({2, 11}, 24).requires_grad_();
  const plan::AffineCode code = weight_code(weight, format::Integer{8, 8, 8}, RangeMethod::kMinMax);
  const Tensor factors = normal({2, 11}, 25);
  (fake_quantize(weight, code) * factors).sum().backward();
  EXPECT_TRUE(weight.grad().equal(factors));
}

TEST(IntegerKernel, ComputesWithTheCodesOfItsGroups) {
  const test::OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 26);
  IntegerKernel kernel(format::Integer{3, 4, 32}, activation_code(observed(layer.x), 4, {}),
                       torch::kCPU);
  const plan::LayerNumerics numerics = kernel.numerics(layer.weight);
  EXPECT_EQ(numerics.weights.scales.size(), 6U * 3U);  // 72 weights a channel
  const Tensor expected = apply_layer(layer.op, fake_quantize(layer.x, numerics.input),
                                      fake_quantize(layer.weight, numerics.weights), layer.bias);
  EXPECT_TRUE(kernel.forward(layer.call()).equal(expected));
  EXPECT_FALSE(kernel.has_training_codes());
}

TEST(IntegerKernel, ComputesWithTheCodesThatItNames) {
  const test::OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 20);
  IntegerKernel kernel(format::Integer{3, 4}, activation_code(observed(layer.x), 4, {}),
                       torch::kCPU);
  const plan::LayerNumerics numerics = kernel.numerics(layer.weight);
  const Tensor expected = apply_layer(layer.op, fake_quantize(layer.x, numerics.input),
                                      fake_quantize(layer.weight, numerics.weights), layer.bias);
  EXPECT_TRUE(kernel.forward(layer.call()).equal(expected));
}

TEST(IntegerKernel, StrengthRampsTheErrorInTrainingAlone) {
  const test::OneLayer layer = test::linear_layer(5, 40, 7, 21);
  IntegerKernel kernel(format::Integer{2, 2}, activation_code(observed(layer.x), 2, {}),
                       torch::kCPU);
  const Tensor full = kernel.forward(layer.call());
  kernel.set_strength(0);
  EXPECT_TRUE(kernel.forward(layer.call()).equal(full));
  kernel.set_training(true);
  EXPECT_TRUE(kernel.forward(layer.call()).equal(layer.exact()));
  kernel.set_strength(0.25);
  const plan::LayerNumerics numerics = kernel.numerics(layer.weight);
  const auto blend = [](const Tensor& a, const Tensor& b) { return a + 0.25 * (b - a); };
  const Tensor expected =
      apply_layer(layer.op, blend(layer.x, fake_quantize(layer.x, numerics.input)),
                  blend(layer.weight, fake_quantize(layer.weight, numerics.weights)), layer.bias);
  EXPECT_LT(test::largest_difference(kernel.forward(layer.call()), expected), 1e-5);
}

TEST(IntegerKernel, SaturatedInputsPassTheUnrampedShareOfTheGradient) {
  test::OneLayer layer = test::linear_layer(1, 2, 1, 22);
  layer.x = torch::tensor({{0.5F, 50.0F}}).requires_grad_();
  layer.weight = torch::ones({1, 2});
  IntegerKernel kernel(format::Integer{8, 8}, code_of(0.1F, 0, -128, 127), torch::kCPU);
  kernel.set_training(true);
  kernel.set_strength(0.75);
  kernel.forward(layer.call()).sum().backward();
  EXPECT_TRUE(layer.x.grad().allclose(torch::tensor({{1.0F, 0.25F}})));
}

TEST(Float16Kernel, RoundsInputsWeightsAndBias) {
  const test::OneLayer layer = test::conv_layer({}, {}, 23);
  const auto kernel = make_float16_kernel(torch::kCPU);
  const Tensor expected = apply_layer(layer.op, fake_float16(layer.x), fake_float16(layer.weight),
                                      fake_float16(layer.bias));
  EXPECT_TRUE(kernel->forward(layer.call()).equal(expected));
  kernel->set_training(true);
  kernel->set_strength(0);
  EXPECT_TRUE(kernel->forward(layer.call()).equal(layer.exact()));
}

}  // namespace
}  // namespace tessera::nn
