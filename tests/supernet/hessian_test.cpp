// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/hessian.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "ir/build_graph.h"
#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

using nn::Tensor;

// Convolutions, one of them depthwise with all that a window may have, and a classifier.
nn::Network small_network() {
  ir::GraphBuilder b;
  Rng rng(1);
  const auto weights = [&](const std::string& name, ir::Shape shape) {
    std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
    for (float& value : values)
      value = static_cast<float>(0.4 * rng.normal());
    return b.constant(name, std::move(shape), values);
  };
  ir::ValueId x = b.input("x", {1, 2, 7, 6});
  x = b.node("conv", ir::Conv{.pads = {1, 1, 1, 1}}, {x, weights("w1", {3, 2, 3, 3})});
  x = b.node("relu", ir::Unary{.kind = ir::UnaryKind::kRelu}, {x});
  x = b.node("depthwise",
             ir::Conv{.strides = {2, 1}, .pads = {1, 0, 2, 1}, .dilations = {1, 2}, .groups = 3},
             {x, weights("w2", {3, 1, 3, 2}), weights("b2", {3})});
  x = b.node("flat", ir::Flatten{}, {x});
  constexpr std::int64_t kFeatures = 3 * 4 * 5;
  return {b.finish({b.node("fc", ir::Linear{}, {x, weights("w3", {4, kFeatures})})}), torch::kCPU};
}

nn::Dataset few_images() {
  Rng rng(2);
  nn::Dataset data;
  data.classes = 4;
  data.train = {.name = "train",
                .images = torch::zeros({6, 2, 7, 6}, torch::kUInt8),
                .labels = torch::zeros({6}, torch::kInt64)};
  auto* const pixels = data.train.images.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < data.train.images.numel(); ++i)
    pixels[i] = static_cast<std::uint8_t>(rng.below(256));
  for (std::int64_t i = 0; i < 6; ++i)
    data.train.labels.data_ptr<std::int64_t>()[i] = i % 4;
  return data;
}

const nn::Preprocessing kPreprocessing{.mean = {0.5, 0.5}, .std = {0.3, 0.3}, .source = "test"};

// Blocks of the Hessian of the mean loss, [layer][layer], each row by LibTorch's own derivatives of
// each weight.
std::vector<std::vector<Tensor>> exact_hessian(const nn::Network& start, const nn::Dataset& data) {
  const nn::Network network = start.clone();
  std::vector<Tensor> weights;
  for (const nn::LayerParameters& layer : network.layers())
    weights.push_back(layer.weight.requires_grad_(true));
  nn::FloatRunner runner;
  const Tensor loss = at::cross_entropy_loss(
      network.forward(nn::normalize(data.train.images, kPreprocessing), runner), data.train.labels);
  const auto gradients = torch::autograd::grad({loss}, weights, {}, true, true);
  std::vector<std::vector<Tensor>> blocks(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    std::vector<std::vector<Tensor>> rows(weights.size());
    for (std::int64_t j = 0; j < weights[i].numel(); ++j) {
      const auto row = torch::autograd::grad({gradients[i].flatten()[j]}, weights, {}, true);
      for (std::size_t k = 0; k < weights.size(); ++k)
        rows[k].push_back(row[k].flatten());
    }
    for (const auto& block : rows)
      blocks[i].push_back(torch::stack(block).to(torch::kFloat64));
  }
  return blocks;
}

TEST(Curvature, TracesAreThoseOfTheHessian) {
  const nn::Network network = small_network();
  const nn::Dataset data = few_images();
  constexpr std::int64_t kProbes = 2000;
  const auto found =
      curvature(network, data, kPreprocessing, {.images = 6, .probes = kProbes}, Rng(3));
  const auto blocks = exact_hessian(network, data);
  ASSERT_EQ(found.size(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const double trace = blocks[i][i].diagonal().sum().item<double>();
    // Variance of v·Hv over random signs: twice what is off the diagonal, and all other layers'.
    double variance =
        2 * (blocks[i][i].square().sum() - blocks[i][i].diagonal().square().sum()).item<double>();
    for (std::size_t k = 0; k < blocks.size(); ++k) {
      if (k != i)
        variance += blocks[i][k].square().sum().item<double>();
    }
    EXPECT_NE(trace, 0.0);
    EXPECT_NEAR(found[i].weight_trace, trace, 5 * std::sqrt(variance / kProbes)) << "layer " << i;
  }
}

TEST(Curvature, InputsTakeSquaredGradients) {
  const nn::Network network = small_network();
  const nn::Dataset data = few_images();
  const auto found = curvature(network, data, kPreprocessing, {.images = 6, .probes = 1}, Rng(3));
  nn::FloatRunner runner;
  const Tensor x = nn::normalize(data.train.images, kPreprocessing).requires_grad_(true);
  const Tensor loss =
      at::cross_entropy_loss(network.forward(x, runner), data.train.labels, {}, at::Reduction::Sum);
  const double squares = torch::autograd::grad({loss}, {x})[0].square().sum().item<double>();
  EXPECT_NEAR(found[0].input_trace, squares / 6, 1e-5 * squares);
}

constexpr int kUntied[] = {0, 1, 2, 3};

// The four layers of the small problem, each in fp16, int8, int4 and int4 in groups.
class Predictions : public ::testing::Test {
 protected:
  Predictions() : problem_(small_.problem()) {
    for (std::size_t layer = 0; layer < problem_.space.size(); ++layer) {
      problem_.space[layer].clear();
      const std::int64_t channels = small_.network.workload().layers[layer].dims.M;
      for (const char* format : {"fp16", "int8", "int4/a8", "int4g16/a8"})
        problem_.space[layer].push_back(
            {{{"npu", format::parse_number_format(format).value(), {0, channels}}}});
    }
  }
  static double squared_error(const Tensor& weight, const plan::AffineCode& code) {
    const Tensor error = nn::dequantize(nn::quantize(weight, code), code) - weight;
    return error.to(torch::kFloat64).square().sum().item<double>();
  }
  test::SmallProblem small_;
  Problem problem_;
};

TEST_F(Predictions, AreTheSecondOrderTermsOfBothErrors) {
  std::vector<Curvature> bends{{3, 0.5}, {-2, 0.25}, {0.75, 0}, {1, 4}};
  const auto losses = predicted_losses(problem_, bends);
  ASSERT_EQ(losses.size(), 4U);
  for (std::size_t layer = 0; layer < 4; ++layer) {
    ASSERT_EQ(losses[layer].size(), 4U);
    EXPECT_EQ(losses[layer][0], 0.0) << "fp16";
    const Tensor& weight = small_.network.layers()[layer].weight;
    const nn::RangeObserver& seen = problem_.ranges[layer];
    const plan::AffineCode input = nn::activation_code(seen, 8, {});
    const double of_input = 0.5 * bends[layer].input_trace *
                            seen.mse(input.scales[0], input.zero_points[0], input.low, input.high);
    const format::Integer formats[] = {{8, 8}, {4, 8}, {4, 8, 16}};
    for (std::size_t path = 1; path < 4; ++path) {
      const auto code = nn::weight_code(weight, formats[path - 1], nn::RangeMethod::kMse);
      // A negative trace counts as none.
      const double of_weights = 0.5 * std::max(bends[layer].weight_trace, 0.0) *
                                squared_error(weight, code) / static_cast<double>(weight.numel());
      EXPECT_NEAR(losses[layer][path], of_weights + of_input, 1e-5 * (of_weights + of_input))
          << "layer " << layer << ", path " << path;
    }
  }
  EXPECT_GT(losses[0][2], losses[0][1]);
  EXPECT_GT(losses[2][2], losses[2][3]) << "54 weights a channel make four groups";
}

// Against all 4^4 choices at each of the budgets.
TEST_F(Predictions, IntegerProgramsFindWhatEnumerationFinds) {
  Rng rng(7);
  std::vector<std::vector<double>> losses(4);
  std::vector<std::vector<double>> energies(4);
  double least = 0;
  double most = 0;
  for (std::size_t layer = 0; layer < 4; ++layer) {
    for (const plan::Path& path : problem_.space[layer]) {
      losses[layer].push_back(rng.uniform());
      energies[layer].push_back(small_.model.layer_cost(layer, path)->energy_pj.total());
    }
    least += *std::min_element(energies[layer].begin(), energies[layer].end());
    most += *std::max_element(energies[layer].begin(), energies[layer].end());
  }
  const auto sum = [](const std::vector<std::vector<double>>& of, const Choice& choice) {
    double total = 0;
    for (std::size_t layer = 0; layer < choice.size(); ++layer)
      total += of[layer][static_cast<std::size_t>(choice[layer])];
    return total;
  };
  constexpr int kBudgets = 9;
  std::vector<Choice> expected;
  for (int k = 0; k < kBudgets; ++k) {
    const double budget = least + k * (most - least) / (kBudgets - 1) + 1e-9 * most;
    Choice best;
    for (int number = 0; number < 256; ++number) {
      const Choice choice{number / 64, number / 16 % 4, number / 4 % 4, number % 4};
      if (sum(energies, choice) <= budget &&
          (best.empty() || sum(losses, choice) < sum(losses, best)))
        best = choice;
    }
    if (std::find(expected.begin(), expected.end(), best) == expected.end())
      expected.push_back(best);
  }
  EXPECT_GT(expected.size(), 3U) << "the budgets should tell choices apart";
  EXPECT_EQ(integer_program_choices(problem_, problem_.space, kUntied, losses, kBudgets), expected);

  // In a space with fewer paths, losses are those of the problem's.
  Space fewer = problem_.space;
  for (auto& paths : fewer)
    paths.erase(paths.begin());
  for (auto& row : losses)
    row = {5, 3, 1, 2};
  EXPECT_EQ(integer_program_choices(problem_, fewer, kUntied, losses, 3).back(),
            (Choice{1, 1, 1, 1}));
}

TEST_F(Predictions, TiedLayersTakeOnePathTogether) {
  constexpr int kTied[] = {0, 1, 1, 2};
  const std::vector<std::vector<double>> losses{
      {0, 1, 2, 3}, {5, 1, 4, 9}, {0, 3, 4, 9}, {0, 1, 2, 3}};
  const auto choices = integer_program_choices(problem_, problem_.space, kTied, losses, 9);
  for (const Choice& choice : choices)
    EXPECT_EQ(choice[1], choice[2]);
  // With all the energy that they want: 1 + 3 is less than 5 + 0.
  EXPECT_EQ(choices.back(), (Choice{0, 1, 1, 0}));
}

// The search has no analog errors to weigh, but the codec's are known.
TEST_F(Predictions, StrumHasItsErrorAndAnalogIsLeftOut) {
  const std::vector<Curvature> bends(4, {.weight_trace = 2, .input_trace = 0});
  Problem problem = small_.problem();
  for (std::size_t layer = 0; layer < 4; ++layer) {
    const std::int64_t channels = small_.network.workload().layers[layer].dims.M;
    for (const char* format : {"strum:mip2q,p=0.5,L=7", "strum:sparsity,p=0.75"})
      problem.space[layer].push_back(
          {{{"npu", format::parse_number_format(format).value(), {0, channels}}}});
  }
  const auto losses = predicted_losses(problem, bends);
  int more = 0;
  for (std::size_t layer = 0; layer < 4; ++layer) {
    double int8 = 0;
    for (std::size_t path = 0; path < problem.space[layer].size(); ++path) {
      const format::NumberFormat& format = problem.space[layer][path].parts[0].format;
      if (std::holds_alternative<format::Analog>(format))
        EXPECT_TRUE(std::isinf(losses[layer][path]));
      if (std::holds_alternative<format::Integer>(format))
        int8 = losses[layer][path];
    }
    const std::size_t mip2q = problem.space[layer].size() - 2;
    // Powers of two in place of half of the codes are no better, zeros for three quarters worse.
    EXPECT_GE(losses[layer][mip2q], int8) << "layer " << layer;
    EXPECT_GT(losses[layer][mip2q + 1], losses[layer][mip2q]) << "layer " << layer;
    more += losses[layer][mip2q] > int8 ? 1 : 0;
  }

  EXPECT_GE(more, 2);

  Space analog_first = small_.space;
  std::erase_if(analog_first[0], [](const plan::Path& path) {
    return !std::holds_alternative<format::Analog>(path.parts[0].format);
  });
  try {
    integer_program_choices(problem, analog_first, kUntied, losses, 3);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("conv1 has only analog paths"), std::string::npos)
        << error.what();
  }
  for (const Choice& choice : integer_program_choices(problem, small_.space, kUntied, losses, 3)) {
    for (std::size_t layer = 0; layer < 4; ++layer) {
      const plan::Path& path = small_.space[layer][static_cast<std::size_t>(choice[layer])];
      EXPECT_FALSE(std::holds_alternative<format::Analog>(path.parts[0].format));
    }
  }
}

}  // namespace
}  // namespace tessera::supernet
