// SPDX-License-Identifier: Apache-2.0
// The kernels of nn/gpu against the CPU's loops, and recorded steps against steps as they come.
// Skipped where there is no GPU or no CUDA in the build.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include "tessera/nn/analog/analog_kernel.h"
#include "tessera/nn/quant/quantize.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/nn/train/trainer.h"

#include "nn/analog/converters.h"
#include "nn/analog/stacked_tiles.h"
#include "nn/gpu/launch.h"
#include "nn/layer_fixture.h"
#include "nn/quant/fake_quantize.h"

namespace tessera::nn {
namespace {

using test::OneLayer;

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!gpu::kCompiled)
      GTEST_SKIP() << "built without CUDA";
    if (!torch::cuda::is_available())
      GTEST_SKIP() << "no GPU";
    device_ = set_up_torch({.threads = 1, .device = "cuda"});
  }
  Tensor there(const Tensor& t) const { return t.detach().to(device_); }
  torch::Device device_{torch::kCPU};
};

double largest_difference(const Tensor& a, const Tensor& b) {
  return (a.detach().cpu() - b.detach().cpu()).abs().max().item<double>();
}

TEST_F(Gpu, FakeQuantisationGivesTheBitsOfTheCpu) {
  const Tensor x = test::normal({6, 40, 5}, 1) * 3;
  const Tensor g = test::normal({6, 40, 5}, 2);
  const plan::AffineCode code{.scales = {0.1F}, .zero_points = {3}, .low = -8, .high = 7};
  for (const double strength : {1.0, 0.4}) {
    const auto run = [&](torch::Device device) {
      detail::Strength s(device);
      s.set(strength);
      const Tensor in = x.to(device).requires_grad_();
      const Tensor y = detail::fake_quantize(in, detail::tensors_of(code, in), s);
      const auto grads = torch::autograd::grad({(y * g.to(device)).sum()}, {in});
      return std::vector<Tensor>{y.detach().cpu(), grads[0].cpu()};
    };
    const auto cpu = run(torch::kCPU);
    const auto gpu = run(device_);
    EXPECT_TRUE(cpu[0].equal(gpu[0])) << strength;
    EXPECT_LT(largest_difference(cpu[1], gpu[1]), 1e-6);
  }
  EXPECT_TRUE(fake_float16(x).equal(fake_float16(there(x)).cpu()));
}

// Recorded work reads its codes anew each time.
TEST_F(Gpu, ALayerByCodesOnTheDeviceIsItsKernel) {
  const OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 7);
  const OneLayer on_gpu{layer.op, there(layer.x), there(layer.weight), there(layer.bias)};
  const Tensor codes = torch::empty({4}, torch::dtype(torch::kFloat32).device(device_));
  for (const int bits : {2, 5, 8}) {
    IntegerKernel kernel(format::Integer{bits, 5},
                         {.scales = {0.03F}, .zero_points = {3}, .low = -16, .high = 15}, device_);
    codes.copy_(kernel.training_codes());
    EXPECT_TRUE(run_training_codes(on_gpu.call(), codes).equal(kernel.forward(on_gpu.call())))
        << bits;
  }
}

TEST_F(Gpu, WeightScalesAreThoseOfTheCpu) {
  const Tensor weight = test::normal({24, 16, 3, 3}, 3);
  for (const int bits : {2, 4, 8}) {
    const Tensor high = torch::full({}, static_cast<double>((1 << (bits - 1)) - 1));
    const auto scales = [&](const Tensor& w) {
      return detail::weight_scales(w, high, RangeMethod::kMse, WeightGranularity::kPerChannel)
          .cpu();
    };
    // Two candidates of nearly the same error may change places: at most one row in ten.
    const Tensor differ = (scales(weight) / scales(there(weight)) - 1).abs() > 1e-5;
    EXPECT_LE(differ.sum().item<int>(), 2) << bits;
  }
}

TEST_F(Gpu, DacAndItsGradientsAreThoseOfTheCpu) {
  const Tensor x = test::normal({50, 70}, 4);
  const Tensor g = test::normal({50, 70}, 5);
  for (const int levels : {0, 127}) {
    const auto run = [&](torch::Device device) {
      const Tensor in = x.to(device).requires_grad_();
      const Tensor range = torch::full({}, 1.1).to(device).requires_grad_();
      const Tensor y = detail::dac(in, range, levels, 1.0);
      const auto grads = torch::autograd::grad({(y * g.to(device)).sum()}, {in, range});
      return std::vector<Tensor>{y, grads[0], grads[1]};
    };
    const auto cpu = run(torch::kCPU);
    const auto gpu = run(device_);
    EXPECT_LT(largest_difference(cpu[0], gpu[0]), 1e-6);
    EXPECT_LT(largest_difference(cpu[1], gpu[1]), 1e-6);
    EXPECT_LT(largest_difference(cpu[2], gpu[2]), 1e-3);
  }
}

TEST_F(Gpu, NormalNumbersHaveTheMomentsOfANormal) {
  NoiseStream noise(Rng(6), device_);
  const Tensor like = torch::empty({1000001}, torch::dtype(torch::kFloat32).device(device_));
  const Tensor a = detail::standard_normal(like, noise).to(torch::kFloat64);
  const double n = 1e6;
  EXPECT_NEAR(a.mean().item<double>(), 0, 5 / std::sqrt(n));
  EXPECT_NEAR(a.square().mean().item<double>(), 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(a.pow(4).mean().item<double>(), 3, 5 * std::sqrt(96 / n));
  // Another draw is independent; the same stream again gives the same.
  const Tensor b = detail::standard_normal(like, noise).to(torch::kFloat64);
  EXPECT_NEAR((a * b).mean().item<double>(), 0, 5 / std::sqrt(n));
  NoiseStream again(Rng(6), device_);
  EXPECT_TRUE(detail::standard_normal(like, again).to(torch::kFloat64).equal(a));
}

// A layer whose rows are cut within a channel (72 rows over tiles of 30).
OneLayer cut_layer() {
  return test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 7);
}
constexpr TileSpec kSmallTile{.rows = 30, .columns = 64, .dac_bits = 8, .adc_bits = 8};

// Output, and gradients to x, weight and bias, of a layer in training without noise.
std::vector<Tensor> trained_layer(const OneLayer& layer, const AnalogPreset& preset,
                                  const Tensor& g, torch::Device device) {
  OneLayer there{layer.op, layer.x.detach().to(device).requires_grad_(),
                 layer.weight.detach().to(device).requires_grad_(),
                 layer.bias.detach().to(device).requires_grad_()};
  AnalogKernel kernel(kSmallTile, preset, 1.5, device);
  kernel.set_training(true);
  kernel.set_noise(NoiseStream(Rng(8), device));
  const Tensor y = kernel.forward(there.call());
  auto grads = torch::autograd::grad({(y * g.to(device)).sum()},
                                     {there.x, there.weight, there.bias, kernel.parameters()[0]});
  grads.insert(grads.begin(), y.detach());
  return grads;
}

TEST_F(Gpu, AnAnalogLayerWithoutNoiseIsThatOfTheCpu) {
  const OneLayer layer = cut_layer();
  const Tensor g = test::normal(layer.exact().sizes(), 9);
  AnalogPreset preset = analog_preset("ideal");
  preset.output_bound = 1;  // low enough that some outputs clip
  const auto cpu = trained_layer(layer, preset, g, torch::kCPU);
  const auto gpu = trained_layer(layer, preset, g, device_);
  // Sums differ in their last bits, so that a few outputs round to the neighbouring code.
  const double step = 1.5 * layer.weight.abs().max().item<double>() / 127;
  EXPECT_LT(largest_difference(cpu[0], gpu[0]), 1.01 * step);
  const Tensor apart = (cpu[0] - gpu[0].cpu()).abs() > 1e-4;
  EXPECT_LT(apart.to(torch::kFloat64).mean().item<double>(), 0.01);
  for (std::size_t i = 1; i < cpu.size(); ++i)
    EXPECT_LT(largest_difference(cpu[i], gpu[i]), 0.02 * cpu[i].abs().max().item<double>()) << i;
}

TEST_F(Gpu, TrainingNoiseHasTheMomentsOfTheCpus) {
  AnalogPreset preset = analog_preset("pcm-lionheart");
  preset.output_noise = 0;
  constexpr std::int64_t kDraws = 100000;
  // Inputs of one weight at a time: outputs are the weights. Two rows of tiles of one cell each
  // would give each weight its own scale; here both share one.
  OneLayer layer = test::linear_layer(1, 1, 1, 59);
  layer.x = torch::eye(2);
  layer.weight = torch::tensor({{1.0F, 0.5F}}).repeat({kDraws, 1});
  layer.bias = torch::zeros({kDraws});
  const auto moments = [&](torch::Device device) {
    OneLayer there{layer.op, layer.x.to(device), layer.weight.to(device), layer.bias.to(device)};
    AnalogKernel kernel({.rows = 512, .columns = 512, .dac_bits = 0, .adc_bits = 0}, preset, 100,
                        device);
    kernel.set_training(true);
    kernel.set_noise(NoiseStream(Rng(60), device));
    const torch::NoGradGuard no_grad;
    const Tensor y = kernel.forward(there.call()).to(torch::kFloat64).cpu();
    return std::vector<double>{y[0].mean().item<double>(), y[0].std().item<double>(),
                               y[1].mean().item<double>(), y[1].std().item<double>()};
  };
  const auto cpu = moments(torch::kCPU);
  const auto gpu = moments(device_);
  const double n = static_cast<double>(kDraws);
  for (const int i : {0, 2}) {
    const auto k = static_cast<std::size_t>(i);
    EXPECT_NEAR(cpu[k], gpu[k], 7 * cpu[k + 1] / std::sqrt(n));
    EXPECT_NEAR(cpu[k + 1] / gpu[k + 1], 1, 7 / std::sqrt(2 * n));
  }
}

TEST_F(Gpu, OutputNoiseHasItsSizeInEveryPiece) {
  NoiseStream noise(Rng(61), device_);
  const auto options = torch::dtype(torch::kFloat32).device(device_);
  const detail::StackedReadout readout{
      .scales = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}).to(device_),
      .range = torch::full({}, 0.5F, options),
      .pieces = 2,
      .noise = 0.1,
      .gain = 2};
  const Tensor y = detail::read_out(torch::zeros({200, 4, 20, 30}, options), Tensor(), readout,
                                    detail::Strength(), noise)
                       .to(torch::kFloat64);
  ASSERT_EQ(y.size(1), 2);
  for (const std::int64_t c : {0, 1}) {
    const double sigma =
        2 * 0.05 * std::hypot(1.0 + static_cast<double>(c), 3.0 + static_cast<double>(c));
    EXPECT_NEAR(y.select(1, c).std().item<double>() / sigma, 1, 5 / std::sqrt(2 * 120000.0));
  }
}

TEST_F(Gpu, TheRangeGetsTheGradientOfTheNoisesSize) {
  const auto options = torch::dtype(torch::kFloat32).device(device_);
  const Tensor sums = there(test::normal({5, 6, 7, 9}, 90));
  const Tensor g = there(test::normal({5, 3, 7, 9}, 91));
  const auto loss = [&](const Tensor& range, at::MemoryFormat format) {
    NoiseStream noise(Rng(92), device_);
    const detail::StackedReadout readout{
        .scales = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}).to(device_),
        .range = range,
        .pieces = 2,
        .noise = 0.1,
        .gain = 2};
    const Tensor out = detail::read_out(sums.contiguous(format).requires_grad_(), Tensor(), readout,
                                        detail::Strength(), noise);
    return (out.to(torch::kFloat64) * g).sum();
  };
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    Tensor range = torch::full({}, 0.8, options).requires_grad_();
    const auto grads = torch::autograd::grad({loss(range, format)}, {range});
    const double quotient =
        (loss(range.detach() + 0.1, format) - loss(range.detach() - 0.1, format)).item<double>() /
        0.2;
    EXPECT_NEAR(grads[0].item<double>() / quotient, 1, 1e-3);
  }
}

Dataset bytes_of_images(torch::Device device) {
  torch::manual_seed(3);
  Dataset data;
  const Tensor images = torch::randint(0, 256, {40, 1, 8, 8}, torch::kUInt8);
  data.train = {"train", images, images.flatten(1).slice(1, 0, 3).argmax(1)};
  data.train = to_device(data.train, device);
  data.classes = 3;
  return data;
}

const Preprocessing kHalf{.mean = {0.4}, .std = {0.3}, .source = "test"};

std::vector<Tensor> train_linear(torch::Device device, Optimizer optimizer, bool recorded,
                                 int restart_at) {
  const Dataset data = bytes_of_images(device);
  torch::manual_seed(4);
  std::vector<Tensor> parameters{torch::randn({3, 64}).to(device), torch::zeros({3}).to(device)};
  const TrainingOptions options{
      .optimizer = optimizer, .steps = 30, .batch = 10, .learning_rate = 0.05};
  TensorMap state;
  for (const int end : {restart_at, 30}) {
    Trainer trainer({parameters}, data, kHalf, options, Rng(1), nullptr);
    if (!state.empty())
      trainer.restore(state);
    const auto backward = [&](const Batch& batch) {
      const Tensor loss =
          trainer.loss(batch.inputs[0].flatten(1).matmul(parameters[0].t()) + parameters[1], batch);
      loss.backward();
      return loss.detach();
    };
    while (trainer.steps_done() < end) {
      if (recorded) {
        trainer.recorded_step(backward);
      } else {
        trainer.step(backward);
      }
    }
    state = trainer.state();
  }
  return {parameters[0].detach().cpu(), parameters[1].detach().cpu()};
}

TEST_F(Gpu, TrainingFollowsThatOfTheCpu) {
  const auto cpu = train_linear(torch::kCPU, Optimizer::kSgd, false, 30);
  const auto gpu = train_linear(device_, Optimizer::kSgd, false, 30);
  EXPECT_LT(largest_difference(cpu[0], gpu[0]), 1e-4);
  EXPECT_LT(largest_difference(cpu[1], gpu[1]), 1e-4);
}

TEST_F(Gpu, UpdatesAreThoseOfTheCpu) {
  // Given gradients, since Adam's first steps turn the last bits of tiny ones into whole steps.
  for (const Optimizer optimizer : {Optimizer::kSgd, Optimizer::kRelativeAdam}) {
    const auto run = [&](torch::Device device) {
      const Dataset data = bytes_of_images(device);
      std::vector<Tensor> parameters{test::normal({6, 5, 3, 3}, 70).to(device),
                                     test::normal({6}, 71).to(device), torch::ones({}).to(device)};
      Trainer trainer({parameters}, data, kHalf,
                      {.optimizer = optimizer,
                       .steps = 10,
                       .batch = 10,
                       .learning_rate = 0.1,
                       .weight_clip = 1.5},
                      Rng(1), nullptr);
      for (std::uint64_t step = 0; step < 10; ++step) {
        trainer.step([&](const Batch&) {
          for (std::size_t p = 0; p < parameters.size(); ++p)
            parameters[p].mutable_grad() =
                test::normal(parameters[p].sizes(), 100 + 10 * step + p).to(device);
          return torch::zeros({});
        });
      }
      return parameters;
    };
    const auto cpu = run(torch::kCPU);
    const auto gpu = run(device_);
    for (std::size_t p = 0; p < cpu.size(); ++p)
      EXPECT_LT(largest_difference(cpu[p], gpu[p]), 1e-5) << p;
  }
}

TEST_F(Gpu, RecordedStepsGiveTheBitsOfStepsAsTheyCome) {
  for (const Optimizer optimizer : {Optimizer::kSgd, Optimizer::kRelativeAdam}) {
    const auto plain = train_linear(device_, optimizer, false, 30);
    for (const int restart_at : {30, 1, 17}) {
      const auto recorded = train_linear(device_, optimizer, true, restart_at);
      EXPECT_TRUE(plain[0].equal(recorded[0])) << restart_at;
      EXPECT_TRUE(plain[1].equal(recorded[1])) << restart_at;
    }
  }
}

}  // namespace
}  // namespace tessera::nn
