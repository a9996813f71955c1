// SPDX-License-Identifier: Apache-2.0
// Layers in several parts (nn/train/split_kernel.h), through make_kernel().
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/train/mapped_network.h"

#include "nn/layer_fixture.h"
#include "support/shared_files.h"

namespace tessera::nn {
namespace {

using test::OneLayer;

const format::NumberFormat kInt8 = format::Integer{8, 8};
const format::NumberFormat kInt4 = format::Integer{4, 8};
const format::NumberFormat kHalf = format::Float{16};
const format::NumberFormat kFloat = format::Float{32};
const format::NumberFormat kAnalog = format::Analog{"pcm-lionheart"};

const hw::Platform& platform() {
  static const hw::Platform chip =
      hw::load_platform("ibm_hybrid", {testing::source_file("configs/hardware")});
  return chip;
}

plan::Part part(const format::NumberFormat& format, std::int64_t begin, std::int64_t end) {
  return {std::holds_alternative<format::Analog>(format) ? "pcm" : "npu", format, {begin, end}};
}

std::unique_ptr<LayerKernel> kernel_of(const OneLayer& layer, const plan::Path& path) {
  RangeObserver observed;
  observed.add(layer.x);
  return make_kernel(path, platform(), observed, torch::kCPU);
}

Tensor indices(const std::vector<std::int64_t>& channels) {
  return torch::tensor(channels, torch::kInt64);
}

// The layer with these output channels alone; `op` says how many groups are left.
OneLayer only(const OneLayer& layer, const std::vector<std::int64_t>& channels, const Tensor& x,
              const ir::Op& op) {
  return {.op = op,
          .x = x,
          .weight = layer.weight.index_select(0, indices(channels)),
          .bias = layer.bias.index_select(0, indices(channels))};
}

Tensor run(LayerKernel* kernel, const OneLayer& layer) {
  return kernel == nullptr ? layer.exact() : kernel->forward(layer.call());
}

// Channels 0, 1, 4 in one format, 2, 3, 5 in another: what each part gives alone, put together.
void expect_like_its_parts(const OneLayer& layer, const format::NumberFormat& a,
                           const format::NumberFormat& b) {
  const auto split =
      kernel_of(layer, {{part(a, 0, 2), part(b, 2, 4), part(a, 4, 5), part(b, 5, 6)}});
  split->set_training(false);
  const auto alone_a = kernel_of(layer, {{part(a, 0, 3)}});
  const auto alone_b = kernel_of(layer, {{part(b, 0, 3)}});
  const Tensor y = split->forward(layer.call());
  constexpr std::int64_t kChannelDim = 1;  // of both kinds of layer here
  EXPECT_TRUE(y.index_select(kChannelDim, indices({0, 1, 4}))
                  .equal(run(alone_a.get(), only(layer, {0, 1, 4}, layer.x, layer.op))));
  EXPECT_TRUE(y.index_select(kChannelDim, indices({2, 3, 5}))
                  .equal(run(alone_b.get(), only(layer, {2, 3, 5}, layer.x, layer.op))));
}

TEST(SplitKernel, EachPartComputesAsIfItWereALayer) {
  const OneLayer conv = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 1);
  expect_like_its_parts(conv, kInt8, kInt4);
  expect_like_its_parts(conv, kHalf, kInt8);
  expect_like_its_parts(conv, kInt4, kFloat);
  expect_like_its_parts(test::linear_layer(5, 9, 6, 2), kInt8, kInt4);
}

TEST(SplitKernel, GroupsStayWhole) {
  // Three groups of two outputs and two inputs; the middle one in other arithmetic.
  const OneLayer layer =
      test::conv_layer({.pads = {1, 1, 1, 1}, .groups = 3}, {.channels = 6, .outputs = 6}, 3);
  const auto split = kernel_of(layer, {{part(kInt8, 0, 2), part(kInt4, 2, 4), part(kInt8, 4, 6)}});
  const Tensor y = split->forward(layer.call());
  const ir::Conv one{.pads = {1, 1, 1, 1}, .groups = 1};
  const ir::Conv two{.pads = {1, 1, 1, 1}, .groups = 2};
  // Input codes come from the whole input in both.
  const auto outer = kernel_of(layer, {{part(kInt8, 0, 4)}});
  const auto middle = kernel_of(layer, {{part(kInt4, 0, 2)}});
  EXPECT_TRUE(
      y.index_select(1, indices({0, 1, 4, 5}))
          .equal(run(outer.get(), only(layer, {0, 1, 4, 5},
                                       layer.x.index_select(1, indices({0, 1, 4, 5})), two))));
  EXPECT_TRUE(
      y.slice(1, 2, 4).equal(run(middle.get(), only(layer, {2, 3}, layer.x.slice(1, 2, 4), one))));
}

TEST(SplitKernel, GradientsAreThoseOfTheParts) {
  OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 4);
  layer.weight.requires_grad_();
  layer.x.requires_grad_();
  const auto split = kernel_of(layer, {{part(kInt8, 0, 2), part(kHalf, 2, 6)}});
  split->set_training(true);
  const Tensor towards = test::normal({2, 6, 7, 6}, 9);
  (split->forward(layer.call()) * towards).sum().backward();
  const Tensor w_gradient = layer.weight.grad().clone();
  const Tensor x_gradient = layer.x.grad().clone();
  layer.weight.mutable_grad() = Tensor();
  layer.x.mutable_grad() = Tensor();
  const auto first = kernel_of(layer, {{part(kInt8, 0, 2)}});
  const auto second = kernel_of(layer, {{part(kHalf, 0, 4)}});
  first->set_training(true);
  second->set_training(true);
  const Tensor a = first->forward(only(layer, {0, 1}, layer.x, layer.op).call());
  const Tensor b = second->forward(only(layer, {2, 3, 4, 5}, layer.x, layer.op).call());
  ((a * towards.slice(1, 0, 2)).sum() + (b * towards.slice(1, 2, 6)).sum()).backward();
  // Sums in another order.
  EXPECT_TRUE(at::allclose(w_gradient, layer.weight.grad(), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(x_gradient, layer.x.grad(), 1e-5, 1e-5));
}

TEST(SplitKernel, AnalogPartsAreProgrammedAndDrift) {
  const OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 5);
  const auto split = kernel_of(layer, {{part(kInt8, 0, 2), part(kAnalog, 2, 6)}});
  auto* noisy = dynamic_cast<NoisyKernel*>(split.get());
  ASSERT_NE(noisy, nullptr);
  const auto alone = kernel_of(layer, {{part(kAnalog, 0, 4)}});
  auto* chip = dynamic_cast<NoisyKernel*>(alone.get());
  const OneLayer its = only(layer, {2, 3, 4, 5}, layer.x, layer.op);
  // Each part has a stream of its own: the second draw of the one that was given.
  const auto second = [](std::uint64_t seed) {
    NoiseStream stream(Rng(seed), torch::kCPU);
    stream.next();
    const NoiseStream::Draw draw = stream.next();
    return NoiseStream(draw.seed.clone(), draw.key);
  };
  noisy->program(layer.weight, NoiseStream(Rng(1), torch::kCPU));
  noisy->set_noise(NoiseStream(Rng(2), torch::kCPU));
  noisy->drift_to(86400);
  chip->program(its.weight, second(1));
  chip->set_noise(second(2));
  chip->drift_to(86400);
  EXPECT_TRUE(split->forward(layer.call()).slice(1, 2, 6).equal(alone->forward(its.call())));
}

TEST(SplitKernel, WithoutAnalogPartsNothingIsNoisy) {
  const OneLayer layer = test::conv_layer({}, {}, 6);
  const auto split = kernel_of(layer, {{part(kInt8, 0, 2), part(kInt4, 2, 6)}});
  EXPECT_EQ(dynamic_cast<NoisyKernel*>(split.get()), nullptr);
}

TEST(SplitKernel, ALayerHasOneInputCode) {
  const OneLayer layer = test::conv_layer({}, {}, 7);
  try {
    kernel_of(layer, {{part(kInt8, 0, 2), part(format::Integer{4, 4}, 2, 6)}});
    FAIL();
  } catch (const UnsupportedError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("8 and 4 bits; allowed: one width"));
  }
  try {
    kernel_of(layer, {{part(kInt8, 0, 2), part(format::Integer{4, 8, 16}, 2, 6)}});
    FAIL();
  } catch (const UnsupportedError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(
                                  "a part with weights in groups; allowed: groups in a layer that "
                                  "one unit runs whole"));
  }
}

}  // namespace
}  // namespace tessera::nn
