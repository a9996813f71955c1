// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/mpaas.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/nn/train/evaluate.h"

#include "small_problem.h"

namespace tessera::supernet {
namespace {

MpaasOptions quick(std::int64_t networks) {
  return {.adapt = {.extra_latency = 0.1},
          .networks = networks,
          .calibration_images = 40,
          .mps = {.fair_steps = 4,
                  .sensitivity_images = 40,
                  .ramp_steps = 4,
                  .training = {.optimizer = nn::Optimizer::kRelativeAdam, .batch = 20},
                  .rounds = 2,
                  .samples_per_round = 4,
                  .selection_images = 40}};
}

TEST(Mpaas, MembersMeasureToTheirAccuracyOnTheirOwnNetworks) {
  const test::SmallProblem small;
  const Problem problem = small.problem();
  test::MemoryObserver observer;
  const Solution solution = Mpaas(quick(2)).run(problem, observer);
  ASSERT_EQ(solution.weights.size(), solution.front.size());
  std::set<bool> kinds;
  for (std::size_t i = 0; i < solution.front.size(); ++i) {
    const Evaluated& member = solution.front[i];
    kinds.insert(member.adapted != nullptr);
    const nn::Network start(member.adapted ? member.adapted->start : small.network.graph(),
                            torch::kCPU);
    const cost::TiledModel& model = member.adapted ? member.adapted->model : small.model;
    const plan::Assignment assignment = assignment_of(small.space, member);
    EXPECT_EQ(model.evaluate(assignment)->totals, member.totals);
    nn::MappedNetwork mapped(solution.weights[i].load_into(start), assignment, small.platform,
                             member.adapted ? member.adapted->ranges : small.ranges);
    mapped.load_kernel_state(solution.weights[i].kernels);
    EXPECT_EQ(
        mapped
            .measure(nn::take(small.data.validation, problem.evaluation.images),
                     small.preprocessing, problem.evaluation.chips,
                     member.adapted ? problem.rng.split("network").split(1).split("evaluation")
                                    : problem.rng.split("network").split(0).split("evaluation"))
            .front(),
        member.accuracy);
  }
  EXPECT_TRUE(kinds.contains(true));
  EXPECT_GT(observer.times_found, 0);
}

// The budget is MPS's; two networks get half of the steps each.
TEST(Mpaas, SpendsWhatMpsWouldSpend) {
  const test::SmallProblem small;
  const auto run = [&](Strategy&& strategy) {
    test::MemoryObserver observer;
    return strategy.run(small.problem(), observer);
  };
  const Solution one = run(Mpaas(quick(1)));
  const Solution two = run(Mpaas(quick(2)));
  const Solution mps = run(Mps(quick(1).mps));
  EXPECT_EQ(one.training_samples, mps.training_samples);
  EXPECT_EQ(two.training_samples, mps.training_samples);
  for (const Evaluated& member : one.front)
    EXPECT_NE(member.adapted, nullptr);
  EXPECT_THAT(two.notes, ::testing::SizeIs(2));
}

TEST(Mpaas, AdaptedNetworksComputeWhatTheProblemsDoes) {
  const test::SmallProblem small;
  const Problem problem = small.problem();
  const ir::Graph graph = small.network.to_graph();
  const auto groups = ir::width_groups(graph);
  const auto chain = adaptations(graph, groups, small.platform, {});
  ASSERT_GT(chain.size(), 1U);
  const Adapted adapted = make_adapted(
      problem, ir::widen(graph, groups, chain.back().widths, problem.rng.split("widen")), 40, 1);
  EXPECT_GT(adapted.model.workload().params, small.model.workload().params);
  for (std::size_t layer = 0; layer < adapted.space.size(); ++layer) {
    ASSERT_EQ(adapted.space[layer].size(), small.space[layer].size());
    for (const plan::Path& path : adapted.space[layer])
      EXPECT_TRUE(adapted.model.layer_cost(layer, path).has_value());
  }
  nn::FloatRunner runner;
  const nn::Split& images = small.data.validation;
  const torch::Tensor x = nn::normalize(images.images, small.preprocessing);
  const torch::Tensor before = small.network.forward(x, runner);
  const torch::Tensor after = nn::Network(adapted.start, torch::kCPU).forward(x, runner);
  EXPECT_LE((after - before).abs().max().item<double>(),
            1e-5 * (before.max() - before.min()).item<double>());
}

TEST(Mpaas, ContinuesToTheSameEnd) {
  const test::SmallProblem small;
  Mpaas strategy(quick(2));
  test::expect_resumable(strategy, small, 10);
}

MpaasOptions with_float_training(std::int64_t networks) {
  MpaasOptions options = quick(networks);
  options.widened = {.steps = 30, .batch = 40, .learning_rate = 0.05};
  return options;
}

double float_accuracy(const ir::Graph& graph, const test::SmallProblem& small) {
  nn::FloatRunner runner;
  return nn::accuracy(nn::Network(graph, torch::kCPU), runner, small.data.validation,
                      small.preprocessing);
}

TEST(Mpaas, SearchesStartFromTrainedNetworks) {
  const test::SmallProblem small;
  test::MemoryObserver observer;
  const Solution solution = Mpaas(with_float_training(2)).run(small.problem(), observer);
  test::MemoryObserver other;
  const Solution without = Mpaas(quick(2)).run(small.problem(), other);
  EXPECT_EQ(solution.training_samples, without.training_samples + 30 * 40);
  const double untrained = float_accuracy(small.network.to_graph(), small);
  int trained = 0;
  for (const Evaluated& member : solution.front) {
    if (!member.adapted)
      continue;
    ++trained;
    EXPECT_TRUE(member.adapted->is_trained);
    EXPECT_GT(float_accuracy(member.adapted->start, small), untrained + 0.2);
    for (const ir::Node& node : member.adapted->start.nodes())
      EXPECT_FALSE(std::holds_alternative<ir::BatchNorm>(node.op)) << node.name;
  }
  EXPECT_GT(trained, 0);
}

TEST(Mpaas, FloatTrainingContinuesToTheSameEnd) {
  const test::SmallProblem small;
  Mpaas strategy(with_float_training(1));
  test::expect_resumable(strategy, small, 10);
}

TEST(Mpaas, NothingToWidenIsAnError) {
  const test::SmallProblem small;
  MpaasOptions options = quick(1);
  hw::Platform platform = small.platform;
  std::erase_if(platform.units,
                [](const hw::Unit& unit) { return std::holds_alternative<hw::AnalogUnit>(unit); });
  const cost::TiledModel digital(small.network.workload(), platform);
  const Problem whole = small.problem();
  const Problem problem{.network = whole.network,
                        .model = digital,
                        .data = whole.data,
                        .preprocessing = whole.preprocessing,
                        .ranges = whole.ranges,
                        .space = whole.space,
                        .limits = {},
                        .evaluation = whole.evaluation,
                        .rng = whole.rng};
  test::MemoryObserver observer;
  try {
    Mpaas(options).run(problem, observer);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("inner widths can grow on ibm_hybrid"));
  }
}

}  // namespace
}  // namespace tessera::supernet
