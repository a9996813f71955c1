// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/analog/noise_model.h"

#include <array>
#include <cmath>

#include "tessera/core/error.h"

namespace tessera::nn {
namespace {

// c[0] + c[1] x + c[2] x² + …
template <std::size_t N>
Tensor polynomial(const Tensor& x, const std::array<double, N>& c) {
  Tensor sum = at::full_like(x, c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;)
    sum = sum.mul_(x).add_(c[i]);
  return sum;
}

// clamp(a ln x + b, low, high)
Tensor clamped_log(const Tensor& x, double a, double b, double low, double high) {
  return x.clamp_min(1e-7).log_().mul_(a).add_(b).clamp_(low, high);
}

double one_over_f_growth(double seconds_since_write, double t_read) {
  return std::sqrt(std::log((seconds_since_write + t_read) / (2 * t_read)));
}

// The PCM model of aihwkit: a fit to a million devices (Nandakumar et al.), g_max 25 µS.
class PcmModel final : public NoiseModel {
 public:
  double g_max() const override { return kGMax; }
  double t0_seconds() const override { return 20; }

  Tensor programming_sigma(const Tensor& g_target) const override {
    return polynomial(g_target / kGMax, std::array{0.26348, 1.9650, -1.1731}) * (kGMax / 25.0);
  }
  Tensor drift_mean(const Tensor& g_target) const override {
    return clamped_log(g_target / kGMax, -0.0155, 0.0244, 0.049, 0.1);
  }
  Tensor drift_sigma(const Tensor& g_target) const override {
    return clamped_log(g_target / kGMax, -0.0125, -0.0059, 0.008, 0.045);
  }
  Tensor read_sigma(const Tensor& g_programmed, double seconds) const override {
    const Tensor relative =
        (0.0088 / (g_programmed / kGMax).pow_(0.65).clamp_min_(1e-3)).clamp_max_(0.2);
    return relative * one_over_f_growth(seconds + t0_seconds(), 250e-9);
  }

 private:
  static constexpr double kGMax = 25;
};

// What differs between one and two devices per polarity on the HERMES chip. Each piecewise function
// is a clamped logarithm below its edge and a polynomial above.
struct HermesFit {
  double g_max, t0_seconds;
  std::array<double, 4> programming;
  double sigma_edge, sigma_log, sigma_offset, sigma_low;
  std::array<double, 3> sigma_polynomial;
  double read_edge, read_log, read_offset, read_low;
  std::array<double, 4> read_polynomial;
};

constexpr HermesFit kTwoDevices{
    .g_max = 20.7,
    .t0_seconds = 300,
    .programming = {0.16603222, 4.71806468, -8.48101252, 4.68961419},
    .sigma_edge = 0.3055,
    .sigma_log = -0.0117,
    .sigma_offset = -0.0057,
    .sigma_low = 0.0091,
    .sigma_polynomial = {0.0073, 0.0093, -0.0118},
    .read_edge = 0.16,
    .read_log = -0.0117,
    .read_offset = -0.0069,
    .read_low = 0.015,
    .read_polynomial = {0.0123, 0.0211, -0.0280, 0.0069},
};

constexpr HermesFit kOneDevice{
    .g_max = 10.35,
    .t0_seconds = 200,
    .programming = {0.15781817, 2.32443916, -2.16310839, 0.68841818},
    .sigma_edge = 0.3039,
    .sigma_log = -0.0120,
    .sigma_offset = -0.0023,
    .sigma_low = 0.0124,
    .sigma_polynomial = {0.0104, 0.0116, -0.0165},
    .read_edge = 0.1591,
    .read_log = -0.0078,
    .read_offset = 0.0038,
    .read_low = 0.0179,
    .read_polynomial = {0.0088, 0.0768, -0.1352, 0.0664},
};

class HermesModel final : public NoiseModel {
 public:
  explicit HermesModel(const HermesFit& fit) : fit_(fit) {}

  double g_max() const override { return fit_.g_max; }
  double t0_seconds() const override { return fit_.t0_seconds; }

  Tensor programming_sigma(const Tensor& g_target) const override {
    return polynomial(g_target / fit_.g_max, fit_.programming);
  }
  Tensor drift_mean(const Tensor& g_target) const override {
    const Tensor x = g_target / fit_.g_max;
    return at::where(x < 0.0945, clamped_log(x, -0.0387, -0.0182, 0.0720, 0.13),
                     polynomial(x, std::array{0.0736, -0.0126, -0.0436}));
  }
  Tensor drift_sigma(const Tensor& g_target) const override {
    const Tensor x = g_target / fit_.g_max;
    return at::where(x < fit_.sigma_edge,
                     clamped_log(x, fit_.sigma_log, fit_.sigma_offset, fit_.sigma_low, 0.04),
                     polynomial(x, fit_.sigma_polynomial));
  }
  Tensor read_sigma(const Tensor& g_programmed, double seconds) const override {
    const Tensor x = g_programmed / fit_.g_max;
    const Tensor relative = at::where(
        x < fit_.read_edge, clamped_log(x, fit_.read_log, fit_.read_offset, fit_.read_low, 0.04),
        polynomial(x, fit_.read_polynomial));
    return relative * one_over_f_growth(seconds + t0_seconds(), 512e-9);
  }

 private:
  HermesFit fit_;
};

// Devices that hold exactly what was written, for ever.
class IdealModel final : public NoiseModel {
 public:
  double g_max() const override { return 25; }
  double t0_seconds() const override { return 20; }
  Tensor programming_sigma(const Tensor& g) const override { return at::zeros_like(g); }
  Tensor drift_mean(const Tensor& g) const override { return at::zeros_like(g); }
  Tensor drift_sigma(const Tensor& g) const override { return at::zeros_like(g); }
  Tensor read_sigma(const Tensor& g, double) const override { return at::zeros_like(g); }
};

}  // namespace

std::shared_ptr<const NoiseModel> make_pcm_model() {
  return std::make_shared<PcmModel>();
}

std::shared_ptr<const NoiseModel> make_hermes_model(int devices) {
  TESSERA_CHECK(devices == 1 || devices == 2, "{} devices for each polarity", devices);
  return std::make_shared<HermesModel>(devices == 2 ? kTwoDevices : kOneDevice);
}

std::shared_ptr<const NoiseModel> make_ideal_model() {
  return std::make_shared<IdealModel>();
}

}  // namespace tessera::nn
