// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/lionheart.h"

#include <limits>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/rng.h"

#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

using ::testing::ElementsAre;

// A network whose layers each cost some accuracy once they are analog; training recovers nothing.
struct Oracle {
  double digital = 0.9;
  std::map<std::size_t, double> loss;

  double accuracy(const std::set<std::size_t>& analog) const {
    double sum = digital;
    for (const std::size_t layer : analog)
      sum -= loss.at(layer);
    return sum;
  }
};

std::set<std::size_t> accepted_by(const Oracle& oracle, const std::vector<std::size_t>& order,
                                  double threshold, std::size_t& position,
                                  std::set<std::size_t> accepted, std::size_t stop_at) {
  accept_greedily(
      order, oracle.digital - threshold, position,
      [&](std::size_t layer) -> std::optional<double> {
        if (position == stop_at)
          return std::nullopt;
        std::set<std::size_t> with = accepted;
        with.insert(layer);
        return oracle.accuracy(with);
      },
      [&](std::size_t layer, bool yes) {
        if (yes)
          accepted.insert(layer);
      });
  return accepted;
}

// The definition: in this order, a layer joins when the network with it and all that joined before
// keeps the threshold.
TEST(Lionheart, AcceptsWhatTheDefinitionSays) {
  Rng rng(4);
  for (int trial = 0; trial < 200; ++trial) {
    Oracle oracle;
    std::vector<std::size_t> order;
    for (std::size_t layer = 0; layer < 8; ++layer) {
      order.push_back(layer);
      oracle.loss[layer] = 0.03 * rng.uniform() - 0.005;
    }
    rng.shuffle(std::span(order));
    const double threshold = 0.04 * rng.uniform();
    double accuracy = oracle.digital;
    std::set<std::size_t> expected;
    for (const std::size_t layer : order) {
      if (oracle.accuracy([&] {
            auto with = expected;
            with.insert(layer);
            return with;
          }()) >= oracle.digital - threshold) {
        expected.insert(layer);
        accuracy = oracle.accuracy(expected);
      }
    }
    std::size_t position = 0;
    EXPECT_EQ(accepted_by(oracle, order, threshold, position, {}, order.size()), expected)
        << "trial " << trial;
    EXPECT_GE(accuracy, oracle.digital - threshold);
    // Ended anywhere and continued, it accepts the same.
    position = 0;
    const auto part = accepted_by(oracle, order, threshold, position, {}, rng.below(order.size()));
    EXPECT_EQ(accepted_by(oracle, order, threshold, position, part, order.size()), expected);
  }
}

TEST(Lionheart, AThresholdIsKeptByAllLayersTogether) {
  const Oracle oracle{.digital = 0.9, .loss = {{0, 0.01}, {1, 0.015}, {2, 0.009}, {3, 0.0}}};
  std::size_t position = 0;
  EXPECT_THAT(accepted_by(oracle, {0, 1, 2, 3}, 0.02, position, {}, 4), ElementsAre(0, 2, 3));
}

// By hand: best 0.8 at the third score; the last two scores are below it at the fifth.
TEST(Patience, StopsWhenTheLastScoresAreAllBelowTheBest) {
  Patience patience(2);
  const std::vector<double> scores = {0.5, 0.7, 0.8, 0.75, 0.79};
  std::vector<bool> stops;
  std::vector<bool> improved;
  for (const double score : scores) {
    stops.push_back(patience.stop_after(score));
    improved.push_back(patience.improved());
  }
  EXPECT_EQ(stops, (std::vector<bool>{false, false, false, false, true}));
  EXPECT_EQ(improved, (std::vector<bool>{true, true, true, false, false}));
  EXPECT_EQ(patience.best(), 0.8);
}

TEST(Patience, AScoreAsGoodAsTheBestKeepsItGoing) {
  Patience patience(1);
  EXPECT_FALSE(patience.stop_after(0.5));
  EXPECT_FALSE(patience.stop_after(0.5));
  EXPECT_FALSE(patience.improved());
  EXPECT_TRUE(patience.stop_after(0.4));
}

TEST(Patience, ContinuesFromWhatItKept) {
  Patience first(3);
  for (const double score : {0.6, 0.9, 0.8})
    first.stop_after(score);
  Patience second(3);
  second.restore(first.last(), first.best());
  for (const double score : {0.7, 0.85, 0.91, 0.1})
    EXPECT_EQ(first.stop_after(score), second.stop_after(score));
  EXPECT_EQ(first.best(), second.best());
}

LionheartOptions quick() {
  return {.threshold = 0.9,
          .patience = 2,
          .evaluations = 3,
          .steps = 25,
          .training = {.optimizer = nn::Optimizer::kRelativeAdam,
                       .batch = 20,
                       .learning_rate = 0.01,
                       .distillation = 0.5}};
}

TEST(LionheartRun, GoesThroughLayersByMacsAndResumesToTheSameBits) {
  const test::SmallProblem small;
  Lionheart strategy(quick());
  const Solution solution = test::expect_resumable(strategy, small, 7);
  // The threshold accepts everything: first the digital mapping, then one layer more each time.
  const auto& layers = small.network.workload().layers;
  ASSERT_EQ(solution.front.size(), layers.size() + 1);
  ASSERT_EQ(solution.weights.size(), solution.front.size());
  std::int64_t last_macs = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 1; i < solution.front.size(); ++i) {
    std::vector<std::size_t> changed;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      if (solution.front[i].choice[layer] != solution.front[i - 1].choice[layer])
        changed.push_back(layer);
    }
    ASSERT_EQ(changed.size(), 1U);
    EXPECT_LE(layers[changed[0]].macs, last_macs);
    last_macs = layers[changed[0]].macs;
  }
  EXPECT_EQ(solution.front.back().totals.analog_mac_ratio, 1);
  EXPECT_LE(solution.training_samples, 25 * 20);
  EXPECT_GE(solution.training_samples, 20 * 4);
}

// Every member comes with the weights under which it was measured, which no chip has changed.
TEST(LionheartRun, WeightsMeasureToTheAccuracyOfTheFront) {
  const test::SmallProblem small;
  const Problem problem = small.problem();
  test::MemoryObserver observer;
  const Solution solution = Lionheart(quick()).run(problem, observer);
  for (std::size_t i = 0; i < solution.front.size(); ++i) {
    nn::MappedNetwork mapped(solution.weights[i].load_into(small.network),
                             assignment_of(small.space, solution.front[i]), small.platform,
                             small.ranges);
    mapped.load_kernel_state(solution.weights[i].kernels);
    EXPECT_EQ(
        mapped
            .measure(nn::take(small.data.validation, problem.evaluation.images),
                     small.preprocessing, problem.evaluation.chips, problem.rng.split("evaluation"))
            .front(),
        solution.front[i].accuracy);
  }
}

TEST(LionheartRun, AThresholdThatNothingKeepsLeavesTheDigitalMapping) {
  const test::SmallProblem small;
  test::MemoryObserver observer;
  LionheartOptions options = quick();
  options.threshold = -0.9;  // better than the digital network by 90 points
  const Solution solution = Lionheart(options).run(small.problem(), observer);
  ASSERT_EQ(solution.front.size(), 1U);
  EXPECT_EQ(solution.front.front().totals.tiles, 0);
}

}  // namespace
}  // namespace tessera::supernet
