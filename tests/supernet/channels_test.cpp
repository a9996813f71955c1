// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/channels.h"

#include <algorithm>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/supernet/harmonica.h"
#include "tessera/supernet/odimo.h"

#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

using ::testing::ElementsAre;

plan::Path path(const std::string& unit, const std::string& format, std::int64_t channels = 8) {
  return {{{unit, format::parse_number_format(format).value(), {0, channels}}}};
}

const std::vector<plan::Path> kBoth = {path("npu", "int8"), path("pcm", "analog:x")};

TEST(SharingPaths, OneOnEachUnitAndNoFloats) {
  EXPECT_EQ(sharing_paths({path("npu", "fp16"), path("npu", "int8"), path("npu", "int4/a8"),
                           path("pcm", "analog:x")}),
            kBoth);
  EXPECT_EQ(sharing_paths({path("npu", "fp32"), path("npu", "fp16")}),
            std::vector<plan::Path>{path("npu", "fp32")});
}

TEST(SharedPath, NeighboursOnOnePathMakeOnePart) {
  const plan::Path shared = shared_path({kBoth, 2, {1, 1, 0, 1}});
  ASSERT_EQ(shared.parts.size(), 3U);
  EXPECT_EQ(shared.parts[0].channels, (plan::ChannelRange{0, 4}));
  EXPECT_EQ(shared.parts[1].channels, (plan::ChannelRange{4, 6}));
  EXPECT_EQ(shared.parts[2].channels, (plan::ChannelRange{6, 8}));
  EXPECT_EQ(shared.parts[1].unit, "npu");
  EXPECT_EQ(plan::to_string(shared), "6 of pcm analog:x + 2 of npu int8");
}

TEST(FittingAssignment, GivesUpTheSmallestLayersTiles) {
  test::SmallProblem small;
  std::get<hw::AnalogUnit>(small.platform.units[0]).tiles = 2;
  const cost::TiledModel model(small.network.workload(), small.platform);
  std::vector<ChannelChoice> choices;
  for (std::size_t i = 0; i < small.space.size(); ++i) {
    ChannelChoice choice{.paths = sharing_paths(small.space[i]), .path_of = {}};
    const auto analog = choice.paths[0].parts[0].unit == "pcm" ? 0 : 1;
    choice.path_of.assign(static_cast<std::size_t>(small.network.workload().layers[i].dims.M),
                          analog);
    choices.push_back(choice);
  }
  const auto assignment = fitting_assignment(model, choices);
  ASSERT_TRUE(assignment);
  std::vector<std::string> units;
  for (const plan::Path& p : assignment->paths)
    units.push_back(p.parts.front().unit);
  // By MACs: conv2 20,736, conv3 6,912, conv1 3,456, fc 512.
  EXPECT_THAT(units, ElementsAre("npu", "pcm", "pcm", "npu"));
}

// The most sensitive channels per MAC, and no more of them than the share asks for.
TEST(ShareBySensitivity, MovesTheMostSensitivePerMac) {
  std::vector<ChannelChoice> choices = {{kBoth, 1, std::vector<int>(4)},
                                        {kBoth, 1, std::vector<int>(2)}};
  const std::vector<std::vector<double>> sensitivity = {{1, 8, 2, 4}, {30, 5}};
  const std::vector<double> macs = {40, 60};  // 10 and 30 for each channel
  // Per MAC: 0.1 0.8 0.2 0.4 and 1.0 0.17: first 30 MACs of the second layer, then 10, then 10.
  share_by_sensitivity(sensitivity, macs, 0.45, choices);
  EXPECT_THAT(choices[0].path_of, ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(choices[1].path_of, ElementsAre(0, 1));
  share_by_sensitivity(sensitivity, macs, 0, choices);
  EXPECT_THAT(choices[0].path_of, ElementsAre(1, 1, 1, 1));
  share_by_sensitivity(sensitivity, macs, 1, choices);
  EXPECT_THAT(choices[1].path_of, ElementsAre(0, 0));
}

TEST(ShareBySensitivity, CountsLayersThatAreDigitalAnyway) {
  std::vector<ChannelChoice> choices = {{{kBoth[0]}, 1, std::vector<int>(4)},
                                        {kBoth, 1, std::vector<int>(2)}};
  share_by_sensitivity({{0, 0, 0, 0}, {1, 2}}, std::vector<double>{40, 60}, 0.4, choices);
  EXPECT_THAT(choices[1].path_of, ElementsAre(1, 1));
}

nn::TrainingOptions quick_training() {
  return {.optimizer = nn::Optimizer::kRelativeAdam,
          .batch = 20,
          .learning_rate = 0.01,
          .distillation = 0.5};
}

TEST(Harmonica, ResumesToTheSameBits) {
  const test::SmallProblem small;
  Harmonica strategy({.digital_shares = {0.5, 0.1}, .steps = 24, .training = quick_training()});
  const Solution solution = test::expect_resumable(strategy, small, 6);
  ASSERT_EQ(solution.front.size(), 2U);
  EXPECT_LT(solution.front[0].totals.analog_mac_ratio, solution.front[1].totals.analog_mac_ratio);
  EXPECT_LE(solution.training_samples, 24 * 20);
  EXPECT_GE(solution.training_samples, 22 * 20);
}

TEST(Odimo, ResumesToTheSameBits) {
  const test::SmallProblem small;
  Odimo strategy({.strengths = {0.1, 5}, .steps = 24, .training = quick_training()});
  const Solution solution = test::expect_resumable(strategy, small, 5);
  ASSERT_EQ(solution.front.size(), 2U);
  EXPECT_EQ(solution.training_samples, 24 * 20);
}

// What the cost is for: with a strong one, channels go where the layer is cheapest; with none, the
// loss alone decides.
TEST(Odimo, AStrongCostFindsTheCheapestUnits) {
  const test::SmallProblem small;
  const Problem problem = small.problem();
  test::MemoryObserver observer;
  const Solution solution =
      Odimo({.strengths = {0, 100}, .steps = 160, .alpha_rate = 0.2, .training = quick_training()})
          .run(problem, observer);
  ASSERT_EQ(solution.front.size(), 2U);
  double cheapest = 0;
  for (std::size_t layer = 0; layer < small.space.size(); ++layer) {
    double least = std::numeric_limits<double>::infinity();
    for (const plan::Path& p : small.space[layer])
      least = std::min(least, small.model.layer_cost(layer, p)->energy_pj.total());
    cheapest += least;
  }
  const auto layers_pj = [&](const Evaluated& member) {
    const auto cost = small.model.evaluate(*member.made);
    double sum = 0;
    for (const plan::LayerCost& row : cost->layers)
      sum += row.energy_pj.total();
    return sum;
  };
  EXPECT_LT(layers_pj(solution.front[1]), layers_pj(solution.front[0]));
  // At least as good as the best whole units, layer by layer.
  EXPECT_LE(layers_pj(solution.front[1]), 1.01 * cheapest);
}

TEST(Odimo, NeedsAChoiceOfUnits) {
  test::SmallProblem small;
  for (auto& paths : small.space)
    paths.resize(1);
  test::MemoryObserver observer;
  EXPECT_THROW(Odimo({.training = quick_training()}).run(small.problem(), observer), UsageError);
  EXPECT_THROW(Harmonica({.training = quick_training()}).run(small.problem(), observer),
               UsageError);
}

}  // namespace
}  // namespace tessera::supernet
