// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/normalization.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ir/build_graph.h"

namespace tessera::nn {
namespace {

constexpr std::int64_t kImages = 96;

Network small_network() {
  ir::GraphBuilder b;
  const auto x = b.input("x", {1, 1, 6, 6});
  const ir::Conv same{.pads = {1, 1, 1, 1}};
  auto y = b.node("conv1", same, {x, b.ramp("w1", {3, 1, 3, 3}, -1, 0.1F)});
  y = b.node("relu", ir::Unary{.kind = ir::UnaryKind::kRelu}, {y});
  y = b.node("depthwise", ir::Conv{.pads = {1, 1, 1, 1}, .groups = 3},
             {y, b.ramp("w2", {3, 1, 3, 3}, -2, 0.2F), b.ramp("b2", {3})});
  y = b.node("flat", ir::Flatten{}, {y});
  y = b.node("fc", ir::Linear{}, {y, b.ramp("w3", {4, 108}, -1, 0.005F)});
  return {b.finish({y}), torch::kCPU};
}

Dataset random_images() {
  torch::manual_seed(5);
  Dataset data;
  data.train = {"train", torch::randint(0, 256, {kImages, 1, 6, 6}, torch::kUInt8),
                torch::zeros({kImages}, torch::kInt64)};
  data.classes = 4;
  return data;
}

// The same before training, whether it uses its own statistics or those of the batch, which here
// are the same images.
TEST(WithBatchNorm, ComputesWhatItComputedBefore) {
  const torch::NoGradGuard no_grad;
  const Network before = small_network();
  const Dataset data = random_images();
  const Preprocessing half{.mean = {0.5}, .std = {0.25}, .source = "test"};
  Network after(with_batch_norm(before, data, half, kImages), torch::kCPU);
  const auto norms = std::ranges::count_if(after.graph().nodes(), [](const ir::Node& node) {
    return std::holds_alternative<ir::BatchNorm>(node.op);
  });
  EXPECT_EQ(norms, 2);

  FloatRunner runner;
  const Tensor x = normalize(data.train.images, half);
  const Tensor expected = before.forward(x, runner);
  const double range = (expected.max() - expected.min()).item<double>();
  EXPECT_LE((after.forward(x, runner) - expected).abs().max().item<double>(), 1e-5 * range);
  after.set_training(true);
  EXPECT_LE((after.forward(x, runner) - expected).abs().max().item<double>(), 1e-4 * range);
  // Other images have other statistics.
  const Tensor few = x.slice(0, 0, 4);
  EXPECT_GT((after.forward(few, runner) - expected.slice(0, 0, 4)).abs().max().item<double>(),
            1e-3 * range);
}

}  // namespace
}  // namespace tessera::nn
