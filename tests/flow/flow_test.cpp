// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/flow/architectures.h"
#include "tessera/flow/compare.h"
#include "tessera/flow/registry.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/settings.h"
#include "tessera/ir/workload.h"

namespace tessera::flow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Error, typename Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::filesystem::path fresh_folder(const std::string& name) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("tessera_flow_" + name);
  std::filesystem::remove_all(folder);
  return folder;
}

const std::map<std::string, std::string> kNeeded = {
    {"network", "n.onnx"}, {"hardware", "ibm_hybrid"}, {"data", "fashion-mnist"}};

TEST(MapSettings, ResolvedSettingsReadBackTheSame) {
  auto given = kNeeded;
  given["max-energy"] = "2.5 uJ";
  given["drift"] = "1h";
  given["seed"] = "18446744073709551615";
  given["distillation"] = "0.1";
  const MapSettings settings = read_map_settings(std::nullopt, given);
  EXPECT_EQ(settings.max_energy_pj, 2.5e6);
  EXPECT_EQ(settings.drift_ns, 3600e9);
  const std::filesystem::path file = fresh_folder("settings") / "resolved.yaml";
  write_atomic(file, resolved_yaml(settings));
  EXPECT_EQ(resolved_yaml(read_map_settings(file, {})), resolved_yaml(settings));
  // The command line wins over the file.
  EXPECT_EQ(read_map_settings(file, {{"seed", "3"}}).seed, 3U);
}

TEST(MapSettings, MistakesAreNamedAsTyped) {
  auto given = kNeeded;
  given["rounds"] = "0";
  given["max-energy"] = "5";
  EXPECT_THAT(message_of<ConfigError>([&] { read_map_settings(std::nullopt, given); }),
              AllOf(HasSubstr("--rounds: found '0'; allowed: whole number, 1 or more"),
                    HasSubstr("--max-energy: '5' is not a quantity of energy")));
  EXPECT_THAT(message_of<ConfigError>([&] { read_map_settings(std::nullopt, {}); }),
              HasSubstr("missing key 'network'"));
}

TEST(ParseTimes, SortsAndRefuses) {
  EXPECT_THAT(parse_times("1d,1s,30min"), ElementsAre(1, 1800, 86400));
  EXPECT_THAT(message_of<UsageError>([] { parse_times("1s,0s"); }), HasSubstr("not above 0"));
  EXPECT_THAT(message_of<UsageError>([] { parse_times("soon"); }), HasSubstr("times: 'soon'"));
}

TEST(Strategies, UnknownNamesAreAnsweredWithTheKnown) {
  EXPECT_EQ(find_strategy("mps").name, "mps");
  EXPECT_THAT(message_of<UsageError>([] { find_strategy("mpas"); }),
              AllOf(HasSubstr("did you mean 'mps'"), HasSubstr("uniform")));
}

// Counted by hand from He et al. 2016, section 4.2, with 1×1 convolutions as shortcuts; BatchNorm's
// γ and β are in the network until they are folded.
TEST(Architectures, HaveThePublishedSizes) {
  const ir::Graph resnet8 = make_architecture("resnet8", {1, 3, 32, 32}, 10, Rng(1));
  const ir::Workload small = ir::workload(resnet8);
  EXPECT_EQ(small.layers.size(), 10U);
  std::int64_t macs = 0;
  for (const ir::Layer& layer : small.layers)
    macs += layer.macs;
  EXPECT_EQ(macs, 12501632);  // 12.50 M
  EXPECT_EQ(ir::workload(make_architecture("resnet20", {1, 3, 32, 32}, 10, Rng(1))).layers.size(),
            22U);
  EXPECT_THAT(message_of<UsageError>([] {
                make_architecture("resnet9", {1, 3, 32, 32}, 10, Rng(1));
              }),
              HasSubstr("resnet8"));
}

TEST(RunFolder, KeepsCheckpointsOfOneRun) {
  const std::filesystem::path path = fresh_folder("run");
  const RunFolder folder(path, "first");
  EXPECT_FALSE(folder.load("part").has_value());
  folder.save("part", {.tensors = {{"x", torch::arange(5)}}, .json = R"({"step": 3})"});
  const auto loaded = RunFolder(path, "first").load("part");
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(loaded->tensors.at("x").equal(torch::arange(5)));
  EXPECT_EQ(loaded->json, R"({"step": 3})");
  EXPECT_THAT(message_of<UsageError>([&] { RunFolder(path, "second"); }),
              HasSubstr("holds a run with other settings"));
  std::ofstream(path / "checkpoint" / "part.safetensors") << "no tensors";
  EXPECT_THROW(folder.load("part"), IoError);
}

// Every way to spend a budget spends all of it, but for part of a step.
TEST(Budget, EveryStrategyGetsTheSame) {
  MapSettings settings;
  settings.batch = 50;
  settings.fair_steps = 60;
  settings.ramp_steps = 240;
  settings.tune_steps = 300;
  constexpr std::int64_t kPaths = 4;
  EXPECT_EQ(budget_of(settings, kPaths), 50 * (4 * 300 + 300));
  for (const std::int64_t budget : {1000, 12345, 75000, 1234567}) {
    const MapSettings fair = with_budget(settings, SearchTraining::kFairSteps, kPaths, budget);
    const MapSettings plain = with_budget(settings, SearchTraining::kSteps, kPaths, budget);
    const MapSettings none = with_budget(settings, SearchTraining::kNone, kPaths, budget);
    EXPECT_EQ((fair.fair_steps + fair.ramp_steps) * kPaths + fair.tune_steps, budget / 50);
    EXPECT_EQ(plain.search_steps + plain.tune_steps, budget / 50);
    EXPECT_EQ(plain.tune_steps, fair.tune_steps);
    EXPECT_EQ(none.tune_steps, budget / 50);
  }
  // The settings' own budget gives the settings' own steps.
  const MapSettings same = with_budget(settings, SearchTraining::kFairSteps, kPaths, 75000);
  EXPECT_EQ(same.fair_steps, 60);
  EXPECT_EQ(same.ramp_steps, 240);
  EXPECT_EQ(same.tune_steps, 300);
}

TEST(Budget, WithoutALastTrainingTheSearchGetsAll) {
  MapSettings settings;
  settings.batch = 10;
  settings.fair_steps = 1;
  settings.ramp_steps = 4;
  settings.tune_steps = 0;
  const MapSettings fair = with_budget(settings, SearchTraining::kFairSteps, 2, 2000);
  EXPECT_EQ(fair.fair_steps, 20);
  EXPECT_EQ(fair.ramp_steps, 80);
  EXPECT_EQ(fair.tune_steps, 0);
  // 21 steps: 2 and 8 strict-fair ones of two paths.
  EXPECT_EQ(with_budget(settings, SearchTraining::kFairSteps, 2, 210).ramp_steps, 8);
  EXPECT_EQ(with_budget(settings, SearchTraining::kNone, 2, 2000).tune_steps, 200)
      << "a rule has no other training";
}

TEST(Compare, RefusesWhatItCannotCompare) {
  const auto refusal = [](std::vector<std::string> names) {
    return message_of<UsageError>(
        [&] { compare({.map = {}, .strategies = std::move(names)}, MapContext{}); });
  };
  EXPECT_THAT(refusal({}), HasSubstr("strategies: found none"));
  EXPECT_THAT(refusal({"mps", "mps"}), HasSubstr("'mps' stands twice"));
  EXPECT_THAT(refusal({"mps", "lionhart"}), HasSubstr("did you mean 'lionheart'"));
}

}  // namespace
}  // namespace tessera::flow
