// SPDX-License-Identifier: Apache-2.0
// Statistical tests have fixed seeds (moments.h has the bounds).
#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/analog/analog_kernel.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/analog/converters.h"
#include "nn/layer_fixture.h"
#include "nn/moments.h"

namespace tessera::nn {
namespace {

using test::expect_moments;
using test::kDraws;
using test::largest_difference;
using test::mean_of;
using test::OneLayer;
using test::stream;

const AnalogPreset& ideal() {
  return analog_preset("ideal");
}

constexpr TileSpec kExactTile{.rows = 512, .columns = 512, .dac_bits = 0, .adc_bits = 0};

AnalogKernel chip_of(const TileSpec& tile, const AnalogPreset& preset, const OneLayer& layer,
                     std::uint64_t chip, std::uint64_t reads) {
  AnalogKernel kernel(tile, preset, 100, torch::kCPU);
  kernel.set_noise(stream(reads));
  kernel.program(layer.weight, stream(chip));
  return kernel;
}

// The formulas of docs/derivations/pcm.md, section 4, column by column, on two tiles of 7 and 6
// rows.
TEST(ColumnEffects, IrDropIsWhatTheFormulaSays) {
  constexpr double kRange = 2;
  OneLayer layer = test::linear_layer(4, 13, 5, 31);
  layer.x = layer.x.clamp(-kRange, kRange);
  AnalogPreset preset = analog_preset("ideal");
  const TileSpec tile{.rows = 7, .columns = 8, .dac_bits = 0, .adc_bits = 0};
  const auto run = [&](double ir_drop) {
    preset.ir_drop = ir_drop;
    AnalogKernel kernel(tile, preset, kRange, torch::kCPU);
    kernel.set_noise(stream(1));
    kernel.program(layer.weight, stream(2));
    return kernel.forward(layer.call());
  };
  // So strong that a is near 1, where all terms of c count.
  const double strength = 1000;
  const Tensor without = run(0);
  const Tensor with = run(strength);
  const auto x = layer.x.accessor<float, 2>();
  const auto w = layer.weight.accessor<float, 2>();
  double most = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t m = 0; m < 5; ++m) {
      double expected = without[i][m].item<double>();
      for (const auto& [begin, end] : {std::pair{0, 7}, std::pair{7, 13}}) {
        double scale = 0, current = 0, sum = 0;
        for (int j = begin; j < end; ++j)
          scale = std::max(scale, std::abs(static_cast<double>(w[m][j])));
        const double n = end - begin;
        for (int j = begin; j < end; ++j) {
          const double place = 1 - (j - begin) / n;
          current += std::abs(w[m][j] / scale) * std::abs(x[i][j] / kRange);
          sum += w[m][j] * x[i][j] * (1 - place * place);
        }
        const double a = n / 5.7143e5 * current;
        expected -= strength * a * (a * (0.05 * a - 0.2) + 0.5) * sum;
      }
      most = std::max(most, std::abs(expected - without[i][m].item<double>()));
      EXPECT_NEAR(with[i][m].item<double>(), expected, 1e-4);
    }
  }
  EXPECT_GT(most, 0.01) << "the drop is too small to be seen";
}

TEST(ColumnEffects, ReadNoiseFollowsTheInputs) {
  constexpr double kNoise = 0.1;
  AnalogPreset preset = analog_preset("ideal");
  preset.read_noise = kNoise;
  OneLayer layer{.op = ir::Linear{},
                 .x = torch::tensor({{1.0F, -0.5F}}).repeat({kDraws, 1}),
                 .weight = torch::tensor({{2.0F, 1.0F}}),
                 .bias = Tensor()};
  AnalogKernel kernel({.rows = 8, .columns = 8, .dac_bits = 0, .adc_bits = 0}, preset, 1,
                      torch::kCPU);
  kernel.set_noise(stream(3));
  kernel.program(layer.weight, stream(4));
  // By hand: weights relative to 2 are 1 and 1/2; √(1 · 1 + 1/2 · 1/4) · 0.1, times 2.
  expect_moments(kernel.forward(layer.call()), 2 * 1 - 0.5, kNoise * std::sqrt(1.125) * 2);
}

// DIANA's cells hold -1, 0 or 1 of a scale per column; with converters of no quantisation the layer
// is the one with those weights.
TEST(CellLevels, TernaryCellsComputeWithTernaryWeights) {
  const test::OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 21);
  AnalogKernel kernel({.rows = 64, .columns = 64, .dac_bits = 0, .adc_bits = 0},
                      analog_preset("diana"), 100, torch::kCPU);
  kernel.set_noise(NoiseStream(Rng(1), torch::kCPU));
  kernel.program(layer.weight, NoiseStream(Rng(2), torch::kCPU));
  kernel.drift_to(86400);
  const plan::AffineCode code = weight_code(layer.weight, 2, RangeMethod::kMse);
  EXPECT_EQ(code.high, 1);
  const Tensor ternary = dequantize(quantize(layer.weight, code), code);
  EXPECT_LT(test::largest_difference(kernel.chip_weights(), ternary), 1e-6);
  EXPECT_LT(test::largest_difference(kernel.forward(layer.call()),
                                     apply_layer(layer.op, layer.x, ternary, layer.bias)),
            1e-4);
  kernel.set_training(true);
  EXPECT_LT(test::largest_difference(kernel.forward(layer.call()),
                                     apply_layer(layer.op, layer.x, ternary, layer.bias)),
            1e-4);
}

struct Split {
  const char* name;
  std::int64_t rows;
  ir::Conv conv;
  test::ConvShape shape;
};

class SplitLayer : public testing::TestWithParam<Split> {};

TEST_P(SplitLayer, EqualsTheUnsplitLayerWithoutNoiseAndConverters) {
  const Split& p = GetParam();
  const OneLayer layer = test::conv_layer(p.conv, p.shape, 50);
  TileSpec tile = kExactTile;
  tile.rows = p.rows;
  AnalogKernel kernel = chip_of(tile, ideal(), layer, 1, 2);
  const double scale = layer.exact().abs().max().item<double>();
  EXPECT_LT(largest_difference(kernel.forward(layer.call()), layer.exact()), 2e-6 * scale);
  kernel.set_training(true);
  EXPECT_LT(largest_difference(kernel.forward(layer.call()), layer.exact()), 2e-6 * scale);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SplitLayer,
    testing::Values(Split{"unsplit", 512, {}, {}},
                    Split{"between_channels", 36, {.pads = {1, 1, 1, 1}}, {}},
                    Split{"inside_channels", 25, {.pads = {1, 1, 1, 1}}, {}},  // 72 rows in 3
                    Split{"inside_one_channel", 4, {}, {.channels = 1}},
                    Split{"single_rows", 1, {}, {.channels = 2}},
                    Split{"grouped", 10, {.groups = 2}, {}},
                    Split{"depthwise", 4, {.pads = {1, 1, 1, 1}, .groups = 8}, {.outputs = 8}}),
    [](const auto& test) { return test.param.name; });

TEST(SplitLayer, LinearEqualsTheUnsplitOne) {
  OneLayer layer = test::linear_layer(4, 50, 9, 51);
  TileSpec tile = kExactTile;
  tile.rows = 16;
  EXPECT_LT(
      largest_difference(chip_of(tile, ideal(), layer, 1, 2).forward(layer.call()), layer.exact()),
      1e-4);
  layer.x = test::normal({2, 3, 50}, 52);
  EXPECT_LT(
      largest_difference(chip_of(tile, ideal(), layer, 1, 2).forward(layer.call()), layer.exact()),
      1e-4);
}

// Each converter written out, tile by tile, on the matrix that the convolution stands for.
Tensor converters_written_out(const OneLayer& layer, const TileSpec& tile, double bound,
                              double range) {
  const Tensor x = (layer.x / (range / 127)).clamp(-127, 127).round() * (range / 127);
  const auto& conv = std::get<ir::Conv>(layer.op);
  const Tensor rows = at::im2col(x, {3, 3}, {1, 1}, {conv.pads[0], conv.pads[1]}, {1, 1});
  const Tensor matrix = layer.weight.flatten(1);
  Tensor sum = layer.bias.reshape({1, -1, 1});
  const std::int64_t pieces = (matrix.size(1) + tile.rows - 1) / tile.rows;
  for (const Tensor& part : matrix.tensor_split(pieces, 1)) {
    const std::int64_t begin = (part.data_ptr<float>() - matrix.data_ptr<float>());
    const Tensor y = at::matmul(part, rows.narrow(1, begin, part.size(1)));
    const Tensor step = part.abs().amax(1).reshape({1, -1, 1}) * (range * bound / 127);
    sum = sum + (y / step).clamp(-127, 127).round() * step;
  }
  return sum.reshape(layer.exact().sizes());
}

TEST(AnalogKernel, ConvertsEveryTilesOutput) {
  const OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 53);
  const TileSpec tile{.rows = 25, .columns = 512, .dac_bits = 8, .adc_bits = 8};
  AnalogPreset preset = ideal();
  preset.output_bound = 3;  // low enough to clip
  AnalogKernel kernel(tile, preset, 1.5, torch::kCPU);
  kernel.program(layer.weight, stream(1));
  const Tensor expected = converters_written_out(layer, tile, 3, 1.5);
  const Tensor actual = kernel.forward(layer.call());
  // Sums in another order may fall on the other side of a rounding: a step for few outputs.
  const Tensor off = (actual - expected).abs() > 1e-4;
  EXPECT_LT(mean_of(off.to(torch::kFloat32)), 0.005);
  EXPECT_LT(largest_difference(actual, expected), 0.3);
}

TEST(AnalogKernel, OutputNoiseHasTheSizeThatThePresetSays) {
  OneLayer layer = test::linear_layer(20000, 10, 3, 54);
  AnalogPreset preset = ideal();
  preset.output_noise = 0.06;
  AnalogKernel kernel = chip_of(kExactTile, preset, layer, 1, 2);
  const Tensor noise = kernel.forward(layer.call()) - layer.exact();
  for (std::int64_t m = 0; m < 3; ++m) {
    const double unit = layer.weight[m].abs().max().item<double>() * 100;
    expect_moments(noise.select(1, m), 0, 0.06 * unit);
  }
}

TEST(AnalogKernel, ProgrammingAndReadingAreTwoStreams) {
  const OneLayer layer = test::conv_layer({}, {}, 55);
  const AnalogPreset& pcm = analog_preset("pcm-lionheart");
  AnalogKernel a = chip_of({}, pcm, layer, 7, 1);
  AnalogKernel b = chip_of({}, pcm, layer, 7, 2);
  EXPECT_TRUE(a.chip_weights().equal(b.chip_weights()));
  a.drift_to(3600);
  b.drift_to(3600);
  EXPECT_FALSE(a.chip_weights().equal(b.chip_weights()));
  AnalogKernel c = chip_of({}, pcm, layer, 8, 1);
  EXPECT_FALSE(a.chip_weights().equal(c.chip_weights()));
}

TEST(AnalogKernel, IsReproducible) {
  const OneLayer layer = test::conv_layer({}, {}, 56);
  const auto run = [&] {
    AnalogKernel kernel = chip_of({}, analog_preset("hermes"), layer, 7, 1);
    kernel.drift_to(86400);
    return kernel.forward(layer.call());
  };
  EXPECT_TRUE(run().equal(run()));
}

TEST(AnalogKernel, CompensationUndoesTheMeanDrift) {
  const OneLayer layer = test::linear_layer(1, 256, 256, 57);
  AnalogKernel kernel = chip_of({}, analog_preset("pcm-lionheart"), layer, 7, 1);
  const double before = mean_of(kernel.chip_weights().abs());
  EXPECT_EQ(kernel.drift_compensation(), 1.0);
  kernel.drift_to(30 * 86400.0);
  EXPECT_GT(kernel.drift_compensation(), 1.5);
  // One factor for all columns; their own scales make the mean come out slightly differently.
  EXPECT_NEAR(kernel.drift_compensation() * mean_of(kernel.chip_weights().abs()) / before, 1, 0.02);
}

TEST(AnalogKernel, StrengthZeroInTrainingIsExact) {
  const OneLayer layer = test::conv_layer({}, {}, 58);
  AnalogKernel kernel({}, analog_preset("pcm-lionheart"), 0.5, torch::kCPU);
  kernel.set_training(true);
  kernel.set_strength(0);
  EXPECT_TRUE(kernel.forward(layer.call()).equal(layer.exact()));
}

TEST(AnalogKernel, TrainingNoiseOnWeightsHasThePresetsSize) {
  AnalogPreset preset = ideal();
  preset.train_weight_noise = 0.05;
  preset.train_weight_noise_multiplicative = 0.1;
  OneLayer layer = test::linear_layer(1, 1, 1, 59);
  // Inputs of one weight at a time: outputs are the weights.
  layer.x = torch::eye(2);
  layer.weight = torch::tensor({{1.0F, 0.5F}}).repeat({kDraws, 1});
  layer.bias = torch::zeros({kDraws});
  AnalogKernel kernel(kExactTile, preset, 100, torch::kCPU);
  kernel.set_training(true);
  kernel.set_noise(stream(60));
  for (const double strength : {1.0, 0.5}) {
    kernel.set_strength(strength);
    const Tensor weights = kernel.forward(layer.call());
    expect_moments(weights[0], 1, strength * std::hypot(0.05, 0.1));
    expect_moments(weights[1], 0.5, strength * std::hypot(0.05, 0.05));
  }
}

TEST(AnalogKernel, EvaluationWithoutAChipIsABug) {
  const OneLayer layer = test::conv_layer({}, {}, 61);
  AnalogKernel kernel({}, ideal(), 1, torch::kCPU);
  EXPECT_THROW(kernel.forward(layer.call()), InternalError);
  EXPECT_THROW(kernel.drift_to(1), InternalError);
}

TEST(AnalogPresets, AreListedWhenANameIsUnknown) {
  for (const std::string& name : analog_preset_names())
    EXPECT_EQ(analog_preset(name).name, name);
  EXPECT_THAT([] { analog_preset("pcm-lionhart"); },
              testing::ThrowsMessage<ConfigError>(testing::AllOf(testing::HasSubstr("pcm-lionhart"),
                                                                 testing::HasSubstr("hermes"))));
}

// d loss / d parameter by central differences, for a loss in float64.
double difference_quotient(const std::function<double()>& loss, Tensor element) {
  const torch::NoGradGuard no_grad;
  constexpr double kStep = 1e-5;
  element.add_(kStep);
  const double above = loss();
  element.sub_(2 * kStep);
  const double below = loss();
  element.add_(kStep);
  return (above - below) / (2 * kStep);
}

TEST(Dac, GradientsAreThoseOfTheClamp) {
  Tensor x = test::normal({60}, 62).to(torch::kFloat64).requires_grad_();
  Tensor range = torch::full({}, 0.8, torch::kFloat64).requires_grad_();
  const Tensor weights = test::normal({60}, 63).to(torch::kFloat64);
  for (const double strength : {1.0, 0.3}) {
    const auto loss = [&] { return (detail::dac(x, range, 0, strength) * weights).sum(); };
    const auto grads = torch::autograd::grad({loss()}, {x, range});
    const auto value = [&] { return loss().item<double>(); };
    EXPECT_NEAR(grads[1].item<double>(), difference_quotient(value, range), 1e-8);
    for (std::int64_t i = 0; i < 60; i += 7)
      EXPECT_NEAR(grads[0][i].item<double>(), difference_quotient(value, x.detach()[i]), 1e-8);
  }
}

TEST(Dac, LoopsAgreeWithOperators) {
  Tensor x = test::normal({40, 30}, 64).requires_grad_();
  Tensor range = torch::full({}, 1.2).requires_grad_();
  const Tensor g = test::normal({40, 30}, 65);
  for (const int levels : {0, 7, 127}) {
    for (const double strength : {1.0, 0.4}) {
      const Tensor fast = detail::dac(x, range, levels, strength);
      const auto fast_grads = torch::autograd::grad({(fast * g).sum()}, {x, range});
      const Tensor x64 = x.detach().to(torch::kFloat64).requires_grad_();
      const Tensor range64 = range.detach().to(torch::kFloat64).requires_grad_();
      const Tensor slow = detail::dac(x64, range64, levels, strength);
      const auto slow_grads = torch::autograd::grad({(slow * g).sum()}, {x64, range64});
      EXPECT_LT(largest_difference(fast, slow), 1e-5);
      EXPECT_LT(largest_difference(fast_grads[0], slow_grads[0]), 1e-6);
      EXPECT_LT(largest_difference(fast_grads[1], slow_grads[1]), 1e-4);
    }
  }
}

TEST(ReadOut, LoopsAgreeWithOperators) {
  const Tensor y = test::normal({3, 4, 5, 6}, 66);
  const Tensor g = test::normal({3, 4, 5, 6}, 67);
  for (const int levels : {0, 15}) {
    for (const double strength : {1.0, 0.4}) {
      detail::Readout readout{.noise_sigma = torch::tensor({0.1F, 0.2F, 0.0F, 0.3F}),
                              .range = {},
                              .full_scale = torch::tensor({1.0F, 2.0F, 0.5F, 9.0F}),
                              .levels = levels,
                              .strength = strength,
                              .gain = 1.5};
      const auto run = [&](torch::ScalarType type) {
        NoiseStream noise = stream(68);
        Tensor in = y.to(type).requires_grad_();
        Tensor bias = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}).to(type).requires_grad_();
        const Tensor out = detail::read_out(in.clone(), bias, readout, noise);
        auto grads = torch::autograd::grad({(out * g).sum()}, {in, bias});
        return std::vector<Tensor>{out.detach(), grads[0], grads[1]};
      };
      const auto fast = run(torch::kFloat32);
      const auto slow = run(torch::kFloat64);
      EXPECT_LT(largest_difference(fast[0], slow[0]), 2e-5);
      EXPECT_LT(largest_difference(fast[1], slow[1]), 1e-6);
      EXPECT_LT(largest_difference(fast[2], slow[2]), 1e-4);
    }
  }
}

TEST(ReadOut, TheRangeGetsTheGradientOfTheNoisesSize) {
  const Tensor y = test::normal({3, 4, 5, 6}, 90);
  const Tensor g = test::normal({3, 4, 5, 6}, 91);
  for (const torch::ScalarType type : {torch::kFloat32, torch::kFloat64}) {
    const auto loss = [&](const Tensor& range) {
      NoiseStream noise = stream(92);
      const Tensor sigma =
          (torch::tensor({0.1, 0.2, 0.05, 0.3}) * range.detach()).to(torch::kFloat32);
      detail::Readout readout;
      readout.noise_sigma = sigma;
      readout.range = range;
      readout.gain = 1.5;
      const Tensor out = detail::read_out(y.to(type).clone(), Tensor(), readout, noise);
      return (out.to(torch::kFloat64) * g).sum();
    };
    Tensor range = torch::full({}, 0.8, type).requires_grad_();
    const auto grads = torch::autograd::grad({loss(range)}, {range});
    // The noise is linear in the range: any difference quotient is exact.
    const torch::NoGradGuard no_grad;
    const double quotient = (loss(range + 0.1) - loss(range - 0.1)).item<double>() / 0.2;
    EXPECT_NEAR(grads[0].item<double>() / quotient, 1, 1e-4);
  }
}

TEST(AnalogKernel, GradientsAreThoseOfTheExactLayerInsideTheRanges) {
  OneLayer layer = test::conv_layer({.pads = {1, 1, 1, 1}}, {}, 69);
  layer.x.requires_grad_();
  layer.weight.requires_grad_();
  layer.bias.requires_grad_();
  const Tensor g = test::normal(layer.exact().sizes(), 70);
  AnalogPreset preset = ideal();
  preset.output_noise = 0.06;
  AnalogKernel kernel({.rows = 30}, preset, 10, torch::kCPU);
  kernel.set_training(true);
  kernel.set_noise(stream(71));
  const std::vector<Tensor> inputs{layer.x, layer.weight, layer.bias};
  const auto analog = torch::autograd::grad({(kernel.forward(layer.call()) * g).sum()}, inputs);
  const auto exact = torch::autograd::grad({(layer.exact() * g).sum()}, inputs);
  EXPECT_LT(largest_difference(analog[0], exact[0]), 1e-4);
  // The weights' gradient sees the quantised input: off by at most half a step of it, 0.04, in each
  // of 84 positions, as a random walk with 5σ = 5·0.023·√84.
  EXPECT_LT(largest_difference(analog[1], exact[1]), 1.1);
  EXPECT_LT(largest_difference(analog[2], exact[2]), 1e-4);
}

TEST(ReadOut, ChannelsInnermostGivesEachColumnItsOwnNoiseAndAdc) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(17);
  const Tensor y = torch::randn({3, 5, 20, 30});
  const Tensor innermost = y.contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor bias = torch::randn({5});
  detail::Readout readout;
  readout.full_scale = torch::tensor({1.0F, 2.0F, 0.5F, 3.0F, 1.5F});
  readout.levels = 15;
  readout.gain = 1.25;
  NoiseStream noise = stream(7);
  EXPECT_TRUE(detail::read_out(innermost.clone(), bias, readout, noise)
                  .equal(detail::read_out(y.clone(), bias, readout, noise)));
  readout.full_scale = Tensor();
  readout.noise_sigma = torch::tensor({0.1F, 0.4F, 0.3F, 1.0F, 0.2F});
  const Tensor zeros = torch::zeros({64, 5, 20, 30}).contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor out = detail::read_out(zeros, bias, readout, noise);
  for (std::int64_t c = 0; c < 5; ++c)
    expect_moments(out.select(1, c), bias[c].item<double>(),
                   1.25 * readout.noise_sigma[c].item<double>());
}

}  // namespace
}  // namespace tessera::nn
