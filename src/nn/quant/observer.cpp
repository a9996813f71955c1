// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/nn/quant/quantize.h"

namespace tessera::nn {
namespace {

// Bin widths are powers of two and bins start at multiples of their width, so that a coarser grid
// is a finer one with neighbours merged: the counts depend on the values alone, not on their order.
constexpr int kFinestExponent = -60;
// Finest width beside the largest magnitude, so that bin numbers stay small integers.
constexpr int kFinestRelativeExponent = -24;

std::int64_t bin_of(double value, double width) {
  return static_cast<std::int64_t>(std::floor(value / width));
}

// Smallest power of two at which [low, high] takes at most kBins bins.
double width_for(double low, double high) {
  const double largest = std::max(std::abs(low), std::abs(high));
  int exponent = kFinestExponent;
  if (largest > 0)
    exponent = std::max(exponent, std::ilogb(largest) + kFinestRelativeExponent);
  while (bin_of(high, std::ldexp(1.0, exponent)) - bin_of(low, std::ldexp(1.0, exponent)) >=
         RangeObserver::kBins)
    ++exponent;
  return std::ldexp(1.0, exponent);
}

// ∫ (v - q(v))² dv from 0 to u, where q rounds to integers in [low, high]. Within the range each
// whole step gives 1/12; t is what is left, and grows without bound where q saturates.
double squared_error_integral(double u, double low, double high) {
  const double n = std::clamp(std::nearbyint(u), low, high);
  const double t = u - n;
  return n / 12 + t * t * t / 3;
}

}  // namespace

void RangeObserver::add(const Tensor& x) {
  if (x.numel() == 0)
    return;
  const Tensor values = x.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  const float* data = values.data_ptr<float>();
  const std::int64_t n = values.numel();
  float low = data[0];
  float high = data[0];
  double sum = 0;
  double sum_squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(data[i]);
    low = std::min(low, data[i]);
    high = std::max(high, data[i]);
    sum += v;
    sum_squares += v * v;
  }
  if (!std::isfinite(sum_squares))
    throw UnsupportedError(
        "calibration: a layer's input holds values that are not finite (nan, inf or beyond 1e150)");
  min_ = count_ == 0 ? static_cast<double>(low) : std::min(min_, static_cast<double>(low));
  max_ = count_ == 0 ? static_cast<double>(high) : std::max(max_, static_cast<double>(high));
  widen_to(min_, max_);
  const double per_unit = 1 / width_;  // exact, a power of two
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bin = static_cast<std::int64_t>(std::floor(static_cast<double>(data[i]) * per_unit));
    ++bins_[static_cast<std::size_t>(bin - first_bin_)];
    zeros_ += data[i] == 0.0F ? 1 : 0;
  }
  count_ += n;
  sum_ += sum;
  sum_squares_ += sum_squares;
}

void RangeObserver::widen_to(double low, double high) {
  const double width = std::max(width_for(low, high), width_);
  const std::int64_t first = bin_of(low, width);
  if (!bins_.empty() && width == width_ && first == first_bin_)
    return;
  std::vector<std::int64_t> wider(kBins, 0);
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    if (bins_[i] == 0)
      continue;
    const double start = static_cast<double>(first_bin_ + static_cast<std::int64_t>(i)) * width_;
    wider[static_cast<std::size_t>(bin_of(start, width) - first)] += bins_[i];
  }
  bins_ = std::move(wider);
  width_ = width;
  first_bin_ = first;
}

double RangeObserver::mean() const {
  TESSERA_CHECK(count_ > 0, "nothing observed");
  return sum_ / static_cast<double>(count_);
}

double RangeObserver::std() const {
  const double m = mean();
  return std::sqrt(std::max(0.0, sum_squares_ / static_cast<double>(count_) - m * m));
}

double RangeObserver::percentile(double fraction) const {
  TESSERA_CHECK(count_ > 0, "nothing observed");
  TESSERA_CHECK(fraction >= 0 && fraction <= 1, "fraction {}", fraction);
  const double wanted = fraction * static_cast<double>(count_);
  double below = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    const auto here = static_cast<double>(bins_[i]);
    if (here > 0 && below + here >= wanted) {
      const double start = static_cast<double>(first_bin_ + static_cast<std::int64_t>(i)) * width_;
      return std::clamp(start + width_ * (wanted - below) / here, min_, max_);
    }
    below += here;
  }
  return max_;
}

double RangeObserver::mse(double scale, std::int64_t zero_point, std::int64_t low,
                          std::int64_t high) const {
  TESSERA_CHECK(count_ > 0 && scale > 0, "{} values, scale {}", count_, scale);
  const auto from = static_cast<double>(low - zero_point);
  const auto to = static_cast<double>(high - zero_point);
  const double steps = width_ / scale;  // of one bin
  // Zero is exact in every code and often half of all values (after a ReLU): they add no error.
  const std::int64_t zero_bin = -first_bin_;
  double total = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    const std::int64_t here = bins_[i] - (static_cast<std::int64_t>(i) == zero_bin ? zeros_ : 0);
    if (here == 0)
      continue;
    const double u = static_cast<double>(first_bin_ + static_cast<std::int64_t>(i)) * steps;
    const double error =
        squared_error_integral(u + steps, from, to) - squared_error_integral(u, from, to);
    total += static_cast<double>(here) * error / steps;
  }
  return total * scale * scale / static_cast<double>(count_);
}

double RangeObserver::divergence(double scale, std::int64_t zero_point, std::int64_t low,
                                 std::int64_t high) const {
  TESSERA_CHECK(count_ > 0 && scale > 0, "{} values, scale {}", count_, scale);
  const std::int64_t zero_bin = -first_bin_;
  const auto levels = static_cast<std::size_t>(high - low + 1);
  std::vector<double> in_level(levels, 0);
  std::vector<int> bins_of_level(levels, 0);
  // Bins inside, with their level; what lies beyond goes to the first and the last of them.
  std::vector<std::pair<double, std::size_t>> inside;
  double below = 0;
  double above = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    const std::int64_t here = bins_[i] - (static_cast<std::int64_t>(i) == zero_bin ? zeros_ : 0);
    if (here == 0)
      continue;
    const double center =
        (static_cast<double>(first_bin_ + static_cast<std::int64_t>(i)) + 0.5) * width_;
    const double level = std::nearbyint(center / scale) + static_cast<double>(zero_point - low);
    const auto weight = static_cast<double>(here);
    if (level < 0) {
      below += weight;
    } else if (level >= static_cast<double>(levels)) {
      above += weight;
    } else {
      const auto index = static_cast<std::size_t>(level);
      inside.emplace_back(weight, index);
      in_level[index] += weight;
      ++bins_of_level[index];
    }
  }
  if (inside.empty())
    return below + above > 0 ? std::numeric_limits<double>::infinity() : 0;
  double kept = 0;
  for (const auto& [weight, level] : inside)
    kept += weight;
  inside.front().first += below;
  inside.back().first += above;
  const double total = kept + below + above;
  double divergence = 0;
  for (const auto& [weight, level] : inside) {
    const double p = weight / total;
    const double q = in_level[level] / bins_of_level[level] / kept;
    divergence += p * std::log(p / q);
  }
  return divergence;
}

Tensor ObservingRunner::run(const LayerCall& call) {
  observers_.at(call.layer).add(call.x);
  return apply_layer(call.op, call.x, call.weight, call.bias);
}

namespace {

plan::AffineCode code_for(double low, double high, int bits, bool symmetric) {
  plan::AffineCode code;
  code.low = -(1 << (bits - 1));
  code.high = (1 << (bits - 1)) - 1;
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  const double steps = symmetric ? code.high : code.high - code.low;
  const double width = symmetric ? std::max(-low, high) : high - low;
  // A layer that only ever saw zeros: any scale represents them.
  const auto scale = static_cast<float>(std::max(width / steps, 1.0 / std::ldexp(1.0, 60)));
  const double zero = symmetric ? 0 : std::nearbyint(code.low - low / static_cast<double>(scale));
  code.scales = {scale};
  code.zero_points = {std::clamp(static_cast<std::int32_t>(zero), code.low, code.high)};
  return code;
}

// Shrinks each end of the range in turn to where the error is least. 64 positions an end, two
// rounds: an end is found to within 1/64 of its extreme, and the error is flat there.
template <typename ErrorOf>
plan::AffineCode least_error_code(const RangeObserver& observed, int bits, bool symmetric,
                                  const ErrorOf& error_of) {
  constexpr int kPositions = 64;
  constexpr int kRounds = 2;
  double low = std::min(observed.min(), 0.0);
  double high = std::max(observed.max(), 0.0);
  if (symmetric) {
    high = std::max(-low, high);
    low = -high;
  }
  const double extremes[2] = {low, high};
  plan::AffineCode best = code_for(low, high, bits, symmetric);
  double least = error_of(best);
  const auto try_ends = [&](double new_low, double new_high) {
    const plan::AffineCode code = code_for(new_low, new_high, bits, symmetric);
    const double error = error_of(code);
    if (error >= least)
      return;
    least = error;
    best = code;
    low = new_low;
    high = new_high;
  };
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 1; i <= kPositions && extremes[1] > 0; ++i)
      try_ends(low, extremes[1] * i / kPositions);
    for (int i = 1; i <= kPositions && !symmetric && extremes[0] < 0; ++i)
      try_ends(extremes[0] * i / kPositions, high);
  }
  return best;
}

}  // namespace

plan::AffineCode activation_code(const RangeObserver& observed, int bits,
                                 const CalibrationOptions& options) {
  TESSERA_CHECK((bits >= 2 && bits <= 8) || bits == 16, "{} bits", bits);
  TESSERA_CHECK(observed.count() > 0, "nothing observed");
  const bool symmetric = options.symmetric_activations;
  switch (options.method) {
    case RangeMethod::kMinMax:
      return code_for(observed.min(), observed.max(), bits, symmetric);
    case RangeMethod::kPercentile:
      return code_for(observed.percentile(1 - options.percentile),
                      observed.percentile(options.percentile), bits, symmetric);
    case RangeMethod::kMse:
      return least_error_code(observed, bits, symmetric, [&](const plan::AffineCode& code) {
        return observed.mse(static_cast<double>(code.scales[0]), code.zero_points[0], code.low,
                            code.high);
      });
    case RangeMethod::kEntropy:
      return least_error_code(observed, bits, symmetric, [&](const plan::AffineCode& code) {
        return observed.divergence(static_cast<double>(code.scales[0]), code.zero_points[0],
                                   code.low, code.high);
      });
  }
  TESSERA_CHECK(false, "range method {}", static_cast<int>(options.method));
}

RangeMethod parse_range_method(const std::string& option, const std::string& text) {
  static const std::vector<std::pair<std::string, RangeMethod>> kNames = {
      {"minmax", RangeMethod::kMinMax},
      {"percentile", RangeMethod::kPercentile},
      {"mse", RangeMethod::kMse},
      {"entropy", RangeMethod::kEntropy}};
  std::vector<std::string> known;
  for (const auto& [name, method] : kNames) {
    if (name == text)
      return method;
    known.push_back(name);
  }
  throw UsageError(option + ": " + unknown_name("way to set ranges", text, known));
}

}  // namespace tessera::nn
