// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tessera/core/error.h"
#include "tessera/supernet/mps.h"

namespace tessera::supernet {
namespace {

std::vector<double> softmax(const std::vector<double>& alpha) {
  const double top = *std::max_element(alpha.begin(), alpha.end());
  std::vector<double> p;
  double sum = 0;
  for (const double a : alpha)
    sum += p.emplace_back(std::exp(a - top));
  for (double& value : p)
    value /= sum;
  return p;
}

int draw(const std::vector<double>& alpha, double exploration, Rng& rng) {
  if (rng.uniform() < exploration)
    return static_cast<int>(rng.below(alpha.size()));
  double left = rng.uniform();
  const std::vector<double> p = softmax(alpha);
  for (std::size_t k = 0; k + 1 < p.size(); ++k) {
    left -= p[k];
    if (left < 0)
      return static_cast<int>(k);
  }
  return static_cast<int>(p.size()) - 1;
}

}  // namespace

Selection::Selection(const Space& space) {
  for (const auto& paths : space)
    alpha_.emplace_back(paths.size(), 0.0);
}

double Selection::log_probability(const Choice& choice) const {
  double sum = 0;
  for (std::size_t layer = 0; layer < alpha_.size(); ++layer) {
    sum += std::log(softmax(alpha_[layer])[static_cast<std::size_t>(choice.at(layer))]);
  }
  return sum;
}

Choice Selection::sample(double exploration, Rng& rng) const {
  Choice choice;
  for (const auto& alpha : alpha_)
    choice.push_back(draw(alpha, exploration, rng));
  return choice;
}

Choice Selection::mutate(const Choice& parent, double exploration, Rng& rng) const {
  Choice child = parent;
  const double probability = 2.0 / static_cast<double>(alpha_.size());
  const std::size_t always = rng.below(alpha_.size());
  for (std::size_t layer = 0; layer < alpha_.size(); ++layer) {
    const bool again = rng.uniform() < probability;
    if (again || layer == always)
      child[layer] = draw(alpha_[layer], exploration, rng);
  }
  return child;
}

Choice Selection::mode() const {
  Choice choice;
  for (const auto& alpha : alpha_) {
    choice.push_back(
        static_cast<int>(std::max_element(alpha.begin(), alpha.end()) - alpha.begin()));
  }
  return choice;
}

double Selection::fit(const std::vector<Choice>& choices, const std::vector<int>& ranks,
                      const MpsOptions& options) {
  TESSERA_CHECK(choices.size() == ranks.size(), "{} choices, {} ranks", choices.size(),
                ranks.size());
  std::vector<std::vector<double>> first(alpha_.size()), second(alpha_.size());  // Adam's moments
  for (std::size_t layer = 0; layer < alpha_.size(); ++layer) {
    first[layer].assign(alpha_[layer].size(), 0);
    second[layer].assign(alpha_[layer].size(), 0);
  }
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  double initial_loss = 0;
  for (std::int64_t step = 1; step <= options.rank_steps; ++step) {
    std::vector<double> lp;
    for (const Choice& choice : choices)
      lp.push_back(log_probability(choice));
    // weight[i] gathers how often choice i stands on the better minus the worse side of an active
    // pair: the normalizers of the softmax cancel in lp(i) - lp(j), so the gradient is a count of
    // paths.
    std::vector<double> weight(choices.size(), 0);
    double loss = 0;
    std::int64_t pairs = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      for (std::size_t j = 0; j < choices.size(); ++j) {
        if (ranks[i] >= ranks[j])
          continue;
        ++pairs;
        const double hinge = options.margin - (lp[i] - lp[j]);
        if (hinge <= 0)
          continue;
        loss += hinge;
        weight[i] -= 1;
        weight[j] += 1;
      }
    }
    if (pairs == 0)
      return 0;
    if (step == 1)
      initial_loss = loss / static_cast<double>(pairs);
    for (std::size_t layer = 0; layer < alpha_.size(); ++layer) {
      std::vector<double> gradient(alpha_[layer].size(), 0);
      for (std::size_t i = 0; i < choices.size(); ++i) {
        gradient[static_cast<std::size_t>(choices[i][layer])] += weight[i];
      }
      for (std::size_t k = 0; k < gradient.size(); ++k) {
        const double g = gradient[k] / static_cast<double>(pairs);
        double& m = first[layer][k];
        double& v = second[layer][k];
        m = kBeta1 * m + (1 - kBeta1) * g;
        v = kBeta2 * v + (1 - kBeta2) * g * g;
        const double t = static_cast<double>(step);
        alpha_[layer][k] -= options.rank_rate * (m / (1 - std::pow(kBeta1, t))) /
                            (std::sqrt(v / (1 - std::pow(kBeta2, t))) + kEpsilon);
      }
    }
  }
  return initial_loss;
}

void Selection::set_parameters(std::vector<std::vector<double>> alpha) {
  TESSERA_CHECK(alpha.size() == alpha_.size(), "{} layers for {}", alpha.size(), alpha_.size());
  for (std::size_t layer = 0; layer < alpha.size(); ++layer) {
    TESSERA_CHECK(alpha[layer].size() == alpha_[layer].size(), "layer {}: {} paths for {}", layer,
                  alpha[layer].size(), alpha_[layer].size());
  }
  alpha_ = std::move(alpha);
}

}  // namespace tessera::supernet
