// SPDX-License-Identifier: Apache-2.0
// Statistical tests have fixed seeds (moments.h has the bounds).
#include <cmath>
#include <string>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "nn/analog/devices.h"
#include "nn/analog/gaussian.h"
#include "nn/layer_fixture.h"
#include "nn/moments.h"

namespace tessera::nn {
namespace {

using test::expect_moments;
using test::kDraws;
using test::largest_difference;
using test::mean_of;
using test::std_of;
using test::stream;

TEST(Gaussian, HasTheMomentsOfANormal) {
  Tensor values = torch::empty({2000000});
  detail::fill_normal(5, values.data_ptr<float>(), values.numel(), 2);
  const Tensor v = values.to(torch::kFloat64);
  const double n = 2e6;
  // Variances of the sample moments of a normal: 1, 2, 15, 96 over n.
  EXPECT_NEAR(mean_of(v), 0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(mean_of(v.square()), 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(mean_of(v.pow(3)), 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(mean_of(v.pow(4)), 3, 5 * std::sqrt(96 / n));
  for (const double x : {-3.0, -1.0, -0.3, 0.0, 0.5, 2.0, 3.5}) {
    const double p = 0.5 * std::erfc(-x / std::sqrt(2.0));
    EXPECT_NEAR(mean_of((v < x).to(torch::kFloat64)), p, 5 * std::sqrt(p * (1 - p) / n)) << x;
  }
  // Neighbours, and the two of one pair (16 apart), are uncorrelated.
  for (const std::int64_t lag : {1, 2, 16, 32, 4096})
    EXPECT_NEAR(mean_of(v.slice(0, lag) * v.slice(0, 0, -lag)), 0, 5 / std::sqrt(n)) << lag;
}

TEST(Gaussian, DoesNotDependOnThreadsOrLength) {
  Tensor one = torch::empty({50001});
  Tensor two = torch::empty({60000});
  detail::fill_normal(6, one.data_ptr<float>(), one.numel(), 1);
  detail::fill_normal(6, two.data_ptr<float>(), two.numel(), 2);
  EXPECT_TRUE(one.equal(two.slice(0, 0, 50001)));
}

// Formulas at points worked out by hand from the sources (docs/derivations/pcm.md).
TEST(PcmModel, GivesThePublishedValues) {
  const auto pcm = make_pcm_model();
  const Tensor g = torch::tensor({0.0, 12.5, 25.0});
  EXPECT_LT(
      largest_difference(pcm->programming_sigma(g), torch::tensor({0.26348, 0.952705, 1.05538})),
      1e-5);
  EXPECT_LT(largest_difference(pcm->drift_mean(torch::tensor({0.0, 1.0, 25.0})),
                               torch::tensor({0.1, 0.0155 * std::log(25.0) + 0.0244, 0.049})),
            1e-6);
  EXPECT_LT(largest_difference(pcm->drift_sigma(torch::tensor({0.0, 1.0, 25.0})),
                               torch::tensor({0.045, 0.0125 * std::log(25.0) - 0.0059, 0.008})),
            1e-6);
  // One day: √ln((86420 + 2.5e-7) / 5e-7) = 5.0836.
  EXPECT_LT(largest_difference(pcm->read_sigma(torch::tensor({0.0, 25.0}), 86400),
                               torch::tensor({0.2 * 5.08614, 0.0088 * 5.08614})),
            2e-4);
}

TEST(HermesModel, IsNearlyContinuousWhereItsPiecesMeet) {
  for (const int devices : {1, 2}) {
    const auto hermes = make_hermes_model(devices);
    const auto jump = [&](const std::function<Tensor(const Tensor&)>& f, double edge) {
      const Tensor g = torch::tensor({edge - 1e-5, edge + 1e-5}) * hermes->g_max();
      const Tensor values = f(g);
      return std::abs(values[0].item<double>() / values[1].item<double>() - 1);
    };
    const double read_edge = devices == 2 ? 0.16 : 0.1591;
    const double sigma_edge = devices == 2 ? 0.3055 : 0.3039;
    EXPECT_LT(jump([&](const Tensor& g) { return hermes->drift_mean(g); }, 0.0945), 0.02);
    EXPECT_LT(jump([&](const Tensor& g) { return hermes->drift_sigma(g); }, sigma_edge), 0.05);
    EXPECT_LT(jump([&](const Tensor& g) { return hermes->read_sigma(g, 1); }, read_edge), 0.05);
  }
  // Σ of the coefficients at full conductance.
  EXPECT_NEAR(make_hermes_model(2)->programming_sigma(torch::tensor({20.7})).item<double>(),
              1.0926986, 1e-5);
  EXPECT_EQ(make_hermes_model(2)->t0_seconds(), 300);
  EXPECT_EQ(make_hermes_model(1)->t0_seconds(), 200);
}

class Devices : public testing::TestWithParam<const char*> {
 protected:
  const NoiseModel& noise() const { return *analog_preset(GetParam()).noise; }
};

TEST_P(Devices, ProgrammingHasTheFormulasMoments) {
  for (const double w : {0.3, -0.6, 0.9}) {
    NoiseStream chip = stream(40);
    const detail::DevicePairs pairs(noise(), torch::full({kDraws}, w), chip);
    const double g = std::abs(w) * noise().g_max();
    const double sigma =
        noise().programming_sigma(torch::tensor({g})).item<double>() / noise().g_max();
    const double zero =
        noise().programming_sigma(torch::tensor({0.0})).item<double>() / noise().g_max();
    // The other device holds max(0, zero·N): mean zero/√(2π), variance zero²(1/2 - 1/(2π)).
    const double mean = std::abs(w) - zero / std::sqrt(2 * M_PI);
    const double variance = sigma * sigma + zero * zero * (0.5 - 0.5 / M_PI);
    expect_moments(pairs.programmed(noise()), std::copysign(mean, w), std::sqrt(variance));
  }
}

TEST_P(Devices, ReadNoiseHasTheFormulasMoments) {
  // Reads of one chip at one time differ by read noise alone. The device that holds zero adds to
  // it; here it was cut off to exactly zero.
  NoiseStream chip = stream(41);
  const std::int64_t devices = 400;
  const detail::DevicePairs pairs(noise(), torch::full({devices}, 0.7), chip);
  const Tensor programmed = pairs.programmed(noise());
  NoiseStream reads = stream(42);
  std::vector<Tensor> draws;
  for (int i = 0; i < 500; ++i)
    draws.push_back(pairs.read(noise(), 3600, reads));
  const Tensor all = at::stack(draws);
  const Tensor relative = all.std(0) / all.mean(0);
  const Tensor g = at::full({1}, 0.7 * noise().g_max());
  const double expected = noise().read_sigma(g, 3600).item<double>();
  // σ_r depends weakly on the programmed conductance, which spreads by 5 %: hence 5 % on top of the
  // mean's error of 5/√(2·500·400).
  EXPECT_NEAR(mean_of(relative) / expected, 1, 0.05 + 0.008);
}

TEST_P(Devices, DriftExponentsAreRecoveredByRegression) {
  const double w = 0.8;
  NoiseStream chip = stream(43);
  const std::int64_t devices = 20000;
  const detail::DevicePairs pairs(noise(), torch::full({devices}, w), chip);
  // ln of the conductance against ln((t + t0)/t0), a line of slope -ν for each device.
  std::vector<double> logs;
  std::vector<Tensor> values;
  NoiseStream reads = stream(44);
  for (const double seconds : {1e2, 1e3, 1e4, 1e5, 1e6, 1e7}) {
    logs.push_back(std::log((seconds + noise().t0_seconds()) / noise().t0_seconds()));
    values.push_back(pairs.read(noise(), seconds, reads).clamp_min(1e-6).log());
  }
  const Tensor x = torch::tensor(logs, torch::kFloat64);
  const Tensor centred = x - x.mean();
  const Tensor y = at::stack(values).to(torch::kFloat64);
  const Tensor slope = (centred.unsqueeze(1) * y).sum(0) / centred.square().sum().item<double>();
  const Tensor g = at::full({1}, w * noise().g_max());
  const double mu = noise().drift_mean(g).item<double>();
  const double sigma = noise().drift_sigma(g).item<double>();
  // Read noise in each of six points adds σ_r/√Σ(x - x̄)² to the slope's spread (σ_r of the middle;
  // it grows by a fifth over these times), and the zero device (below 1 % of the weight) bends the
  // line by less than its share, 0.01 of ν.
  const double from_reads =
      noise().read_sigma(g, 1e4).item<double>() / std::sqrt(centred.square().sum().item<double>());
  const double spread = std::hypot(sigma, from_reads);
  EXPECT_NEAR(mean_of(-slope), mu, 5 * spread / std::sqrt(20000.0) + 0.01 * mu);
  EXPECT_NEAR(std_of(slope), spread, 0.08 * spread);
}

TEST_P(Devices, MomentsForTrainingAreThoseOfChips) {
  for (const double seconds : {0.0, 86400.0}) {
    for (const double w : {0.15, -0.5, 1.0}) {
      NoiseStream chip = stream(45);
      NoiseStream reads = stream(46);
      const detail::DevicePairs pairs(noise(), torch::full({kDraws}, w), chip);
      const Tensor draws =
          seconds > 0 ? pairs.read(noise(), seconds, reads) : pairs.programmed(noise());
      const detail::PairMoments moments =
          detail::pair_moments(noise(), torch::tensor({w}), seconds);
      // The mean leaves out the zero device (0.4 % of the full range); the spread adds relative
      // parts up to first order.
      EXPECT_NEAR(mean_of(draws), moments.mean.item<double>(), 0.006) << w;
      EXPECT_NEAR(std_of(draws) / moments.sigma.item<double>(), 1, 0.06) << w;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Devices, testing::Values("pcm-lionheart", "hermes"),
                         [](const auto& test) { return std::string(test.param).substr(0, 3); });

}  // namespace
}  // namespace tessera::nn
