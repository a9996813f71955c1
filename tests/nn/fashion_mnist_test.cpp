// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <filesystem>

#include <gtest/gtest.h>

#include "tessera/nn/data/dataset.h"

namespace tessera::nn {
namespace {

class FashionMnist : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
      GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  }
};

TEST_F(FashionMnist, HasThePublishedSizesAndMoments) {
  const Dataset data = load_dataset("fashion-mnist", 1);
  EXPECT_EQ(data.train.size(), 55000);
  EXPECT_EQ(data.validation.size(), 5000);
  EXPECT_EQ(data.test.size(), 10000);
  EXPECT_EQ(data.classes, 10);
  EXPECT_EQ(image_size(data.train), "1x28x28");
  const torch::Tensor x = normalize(data.train.images, data.preprocessing);
  EXPECT_NEAR(x.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(x.std().item<double>(), 1, 0.01);
}

TEST_F(FashionMnist, AugmentsFasterThanTrainingNeeds) {
  const Dataset data = load_dataset("fashion-mnist", 1);
  const torch::Tensor x = normalize(take(data.train, 10000).images, data.preprocessing);
  Rng rng(1);
  const auto start = std::chrono::steady_clock::now();
  const torch::Tensor y = augment(x, data, rng);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_EQ(y.sizes(), x.sizes());
  // Training takes at most some thousand images a second on a CPU.
  EXPECT_GT(10000 / seconds, 20000);
}

}  // namespace
}  // namespace tessera::nn
