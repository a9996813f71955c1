// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/multiple_choice_knapsack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "tessera/core/error.h"

namespace tessera::search {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Bounds and sums are rounded differently; a bound cuts only what exceeds by more than this share.
constexpr double kSlack = 1e-10;

using Choice = std::vector<int>;
using Costs = std::vector<double>;

void check(const Knapsack& knapsack) {
  for (const auto& group : knapsack.groups) {
    TESSERA_CHECK(!group.empty(), "a group without items");
    for (const KnapsackItem& item : group) {
      TESSERA_CHECK(item.costs.size() == knapsack.budgets.size(), "{} costs for {} budgets",
                    item.costs.size(), knapsack.budgets.size());
      TESSERA_CHECK(std::isfinite(item.loss), "a loss of {}", item.loss);
      for (const double cost : item.costs)
        TESSERA_CHECK(std::isfinite(cost), "a cost of {}", cost);
    }
  }
  for (const double budget : knapsack.budgets)
    TESSERA_CHECK(!std::isnan(budget), "a budget that is not a number");
}

// A complete choice with its sums.
struct Sum {
  double loss = 0;
  Costs costs;
};

Sum sum_of(const Knapsack& knapsack, const Choice& choice) {
  Sum sum{.costs = Costs(knapsack.budgets.size(), 0.0)};
  for (std::size_t g = 0; g < choice.size(); ++g) {
    const KnapsackItem& item = knapsack.groups[g][static_cast<std::size_t>(choice[g])];
    sum.loss += item.loss;
    for (std::size_t d = 0; d < sum.costs.size(); ++d)
      sum.costs[d] += item.costs[d];
  }
  return sum;
}

bool fits(const Knapsack& knapsack, const Costs& costs) {
  for (std::size_t d = 0; d < costs.size(); ++d) {
    if (costs[d] > knapsack.budgets[d])
      return false;
  }
  return true;
}

double priced(const KnapsackItem& item, const Costs& prices) {
  double value = item.loss;
  for (std::size_t d = 0; d < prices.size(); ++d)
    value += prices[d] * item.costs[d];
  return value;
}

// The choice of least loss + price · cost, group by group.
Choice relaxed_choice(const Knapsack& knapsack, const Costs& prices) {
  Choice choice;
  for (const auto& group : knapsack.groups) {
    const auto best = std::min_element(group.begin(), group.end(),
                                       [&](const KnapsackItem& a, const KnapsackItem& b) {
                                         return priced(a, prices) < priced(b, prices);
                                       });
    choice.push_back(static_cast<int>(best - group.begin()));
  }
  return choice;
}

// The best complete choice known: its loss bounds the search. Which choice it is does not matter,
// since the search finds the optimum again.
class Incumbent {
 public:
  explicit Incumbent(const Knapsack& knapsack) : knapsack_(&knapsack) {}

  double loss() const { return loss_; }

  // Takes a choice that fits, after changing single groups for the better as long as that goes.
  void offer(Choice choice) {
    Sum sum = sum_of(*knapsack_, choice);
    if (!fits(*knapsack_, sum.costs))
      return;
    while (improve(choice, sum)) {
    }
    loss_ = std::min(loss_, sum.loss);
  }

 private:
  bool improve(Choice& choice, Sum& sum) const {
    for (std::size_t g = 0; g < choice.size(); ++g) {
      const int before = choice[g];
      for (int j = 0; j < static_cast<int>(knapsack_->groups[g].size()); ++j) {
        choice[g] = j;
        Sum changed = sum_of(*knapsack_, choice);
        if (changed.loss < sum.loss && fits(*knapsack_, changed.costs)) {
          sum = std::move(changed);
          return true;
        }
      }
      choice[g] = before;
    }
    return false;
  }

  const Knapsack* knapsack_;
  double loss_ = kInfinity;
};

// Prices of the budgets near the maximum of the concave dual function, found coordinate by
// coordinate: a price is raised while its budget is exceeded. Any prices give a valid bound; better
// ones cut more. Relaxed choices met on the way that fit are offered to the incumbent.
Costs dual_prices(const Knapsack& knapsack, Incumbent& incumbent) {
  constexpr int kRounds = 8;
  constexpr int kHalvings = 60;
  Costs prices(knapsack.budgets.size(), 0.0);
  const auto exceeds = [&](std::size_t d) {
    const Choice choice = relaxed_choice(knapsack, prices);
    incumbent.offer(choice);
    return sum_of(knapsack, choice).costs[d] > knapsack.budgets[d];
  };
  for (int round = 0; round < kRounds; ++round) {
    const Costs before = prices;
    for (std::size_t d = 0; d < prices.size(); ++d) {
      prices[d] = 0;
      if (!exceeds(d))
        continue;
      double low = 0;
      prices[d] = 1e-12;
      // Where even infinite prices do not help, the problem has no solution; the search finds out.
      while (exceeds(d) && prices[d] < 1e30) {
        low = prices[d];
        prices[d] *= 8;
      }
      double high = prices[d];
      for (int i = 0; i < kHalvings && high > low; ++i) {
        prices[d] = low + (high - low) / 2;
        (exceeds(d) ? low : high) = prices[d];
      }
      prices[d] = high;
    }
    if (prices == before)
      break;
  }
  return prices;
}

// What the groups from g on take at least, whatever is chosen.
struct Rest {
  double priced = 0;
  Costs costs;
};

std::vector<Rest> rests(const Knapsack& knapsack, const Costs& prices) {
  std::vector<Rest> rest(knapsack.groups.size() + 1);
  rest.back().costs.assign(prices.size(), 0.0);
  for (std::size_t g = knapsack.groups.size(); g-- > 0;) {
    const auto& group = knapsack.groups[g];
    const auto least = [&](const auto& value) {
      double best = kInfinity;
      for (const KnapsackItem& item : group)
        best = std::min(best, value(item));
      return best;
    };
    rest[g] = rest[g + 1];
    rest[g].priced += least([&](const KnapsackItem& item) { return priced(item, prices); });
    for (std::size_t d = 0; d < prices.size(); ++d)
      rest[g].costs[d] += least([d](const KnapsackItem& item) { return item.costs[d]; });
  }
  return rest;
}

// A choice for the first groups. Labels of one level stand in lexicographic order.
struct Label {
  double loss = 0;
  Costs costs;
  std::int32_t parent = 0;
  std::int32_t item = 0;
};

bool no_more(const Costs& a, const Costs& b) {
  for (std::size_t d = 0; d < a.size(); ++d) {
    if (a[d] > b[d])
      return false;
  }
  return true;
}

// Drops labels that another makes needless: no more of any budget and less loss, or as little by a
// choice that comes first.
std::vector<Label> undominated(std::vector<Label> labels) {
  std::vector<std::size_t> order(labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // A label can only be dominated by one that stands before it here.
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return labels[a].loss < labels[b].loss; });
  std::vector<std::size_t> kept;
  for (const std::size_t i : order) {
    const bool dominated = std::any_of(kept.begin(), kept.end(), [&](std::size_t k) {
      return no_more(labels[k].costs, labels[i].costs);
    });
    if (!dominated)
      kept.push_back(i);
  }
  std::sort(kept.begin(), kept.end());
  std::vector<Label> result;
  result.reserve(kept.size());
  for (const std::size_t i : kept)
    result.push_back(std::move(labels[i]));
  return result;
}

class Labelling {
 public:
  explicit Labelling(const Knapsack& knapsack)
      : knapsack_(&knapsack),
        incumbent_(knapsack),
        prices_(dual_prices(knapsack, incumbent_)),
        rest_(rests(knapsack, prices_)) {
    for (std::size_t d = 0; d < prices_.size(); ++d) {
      // An infinite budget has no price.
      spent_ += prices_[d] > 0 ? prices_[d] * knapsack.budgets[d] : 0;
    }
    for (const auto& group : knapsack.groups) {
      double largest = 0;
      for (const KnapsackItem& item : group)
        largest = std::max(largest, std::abs(priced(item, prices_)));
      loss_slack_ += largest;
    }
    loss_slack_ = kSlack * (loss_slack_ + std::abs(spent_));
  }

  std::optional<KnapsackSolution> solve() {
    std::vector<Label> level{{.costs = Costs(prices_.size(), 0.0)}};
    for (std::size_t g = 0; g < knapsack_->groups.size(); ++g) {
      level = undominated(extended(level, g));
      labels_ += static_cast<std::int64_t>(level.size());
      std::vector<Step>& steps = history_.emplace_back();
      for (const Label& label : level)
        steps.push_back({label.parent, label.item});
    }
    const Label* best = nullptr;
    std::size_t last = 0;
    for (std::size_t i = 0; i < level.size(); ++i) {
      if (fits(*knapsack_, level[i].costs) && (best == nullptr || level[i].loss < best->loss)) {
        best = &level[i];
        last = i;
      }
    }
    if (best == nullptr)
      return std::nullopt;
    return KnapsackSolution{
        .choice = choice_of(last), .loss = best->loss, .costs = best->costs, .labels = labels_};
  }

 private:
  struct Step {
    std::int32_t parent = 0;
    std::int32_t item = 0;
  };

  std::vector<Label> extended(const std::vector<Label>& level, std::size_t g) const {
    std::vector<Label> next;
    for (std::size_t i = 0; i < level.size(); ++i) {
      for (std::size_t j = 0; j < knapsack_->groups[g].size(); ++j) {
        const KnapsackItem& item = knapsack_->groups[g][j];
        Label label{.loss = level[i].loss + item.loss,
                    .costs = level[i].costs,
                    .parent = static_cast<std::int32_t>(i),
                    .item = static_cast<std::int32_t>(j)};
        for (std::size_t d = 0; d < label.costs.size(); ++d)
          label.costs[d] += item.costs[d];
        if (can_win(label, rest_[g + 1]))
          next.push_back(std::move(label));
      }
    }
    return next;
  }

  bool can_win(const Label& label, const Rest& rest) const {
    double bound = label.loss + rest.priced - spent_;
    for (std::size_t d = 0; d < prices_.size(); ++d) {
      const double budget = knapsack_->budgets[d];
      const double least = label.costs[d] + rest.costs[d];
      if (least > budget + kSlack * (std::abs(budget) + std::abs(least)))
        return false;
      bound += prices_[d] * label.costs[d];
    }
    return !(bound > incumbent_.loss() + loss_slack_);
  }

  Choice choice_of(std::size_t label) const {
    Choice choice(history_.size());
    for (std::size_t g = history_.size(); g-- > 0;) {
      choice[g] = history_[g][label].item;
      label = static_cast<std::size_t>(history_[g][label].parent);
    }
    return choice;
  }

  const Knapsack* knapsack_;
  Incumbent incumbent_;
  Costs prices_;
  std::vector<Rest> rest_;
  double spent_ = 0;  // prices · budgets
  double loss_slack_ = 0;
  std::vector<std::vector<Step>> history_;
  std::int64_t labels_ = 0;
};

std::string explain(const Knapsack& knapsack) {
  const std::vector<Rest> rest = rests(knapsack, Costs(knapsack.budgets.size(), 0.0));
  std::string text;
  for (std::size_t d = 0; d < knapsack.budgets.size(); ++d) {
    if (rest[0].costs[d] > knapsack.budgets[d])
      text += fmt::format("{}budget {} is {:.6g}, the cheapest choice takes {:.6g}",
                          text.empty() ? "" : "; ", d, knapsack.budgets[d], rest[0].costs[d]);
  }
  return text.empty() ? "each budget can be kept, but not all of them together" : text;
}

}  // namespace

Expected<KnapsackSolution> solve_multiple_choice_knapsack(const Knapsack& knapsack) {
  check(knapsack);
  if (auto solution = Labelling(knapsack).solve())
    return std::move(*solution);
  return infeasible("budget", explain(knapsack));
}

}  // namespace tessera::search
