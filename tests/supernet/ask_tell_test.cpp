// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/ask_tell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/search/nsga2.h"
#include "tessera/search/samplers.h"

#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

// Accuracies out of the choice alone; counts how often each is asked for, over all runs.
class MadeUpAccuracy final : public AccuracyModel {
 public:
  MadeUpAccuracy(const Problem& problem, std::map<Choice, int>& asked)
      : network_(problem.network), asked_(asked) {}
  bool prepare(Observer& observer, double) override { return observer.keep_going(); }
  plan::Accuracy measure(const Choice& choice) override {
    ++asked_[choice];
    double mean = 0.5;
    double weight = 0.1;
    for (const int path : choice)
      mean += (weight *= 0.7) * (path == 1 ? 1 : path == 2 ? -0.5 : 0);
    return {.mean = mean, .split = "validation", .images = 80};
  }
  std::int64_t training_samples(std::int64_t measured) const override { return 80 * measured; }
  const nn::Network& network() const override { return network_; }
  nn::TensorMap kernel_state() const override { return {}; }

 private:
  const nn::Network& network_;
  std::map<Choice, int>& asked_;
};

class Searching : public ::testing::Test {
 protected:
  Searching() {
    for (std::size_t layer = 0; layer < small_.space.size(); ++layer) {
      small_.space[layer].clear();
      for (const plan::Path& path : small_.model.candidate_paths(layer)) {
        const std::string format = format::to_string(path.parts.front().format);
        if (format == "fp16" || format == "int8" || format == "int4/a8")
          small_.space[layer].push_back(path);
      }
    }
  }
  AskTellOptions options() {
    return {.evaluations = 60,
            .make_searcher =
                [](const SearcherInputs& to) {
                  search::Nsga2Options own{.population = 10};
                  own.start = to.uniform;
                  own.start.insert(own.start.end(), to.programs.begin(), to.programs.end());
                  return std::make_unique<search::Nsga2>(to.space, own, to.rng);
                },
            .programs = 4,
            .hessian = {.images = 16, .probes = 2},
            .make_accuracy =
                [this](const Problem& problem) {
                  return std::make_unique<MadeUpAccuracy>(problem, asked_);
                },
            .fixed_ends = false};
  }
  test::SmallProblem small_;
  std::map<Choice, int> asked_;
};

TEST_F(Searching, ContinuesToTheSameEnd) {
  AskTell strategy(options());
  // A generation is asked anew when it continues, so a piece must be longer than one.
  test::expect_resumable(strategy, small_, 14);
  // Once by the run in one piece, once by the one in pieces: what was measured is kept.
  for (const auto& [choice, times] : asked_)
    EXPECT_EQ(times, 2);
}

TEST_F(Searching, ARunInTheMiddleOfAGenerationKeepsWhatItMeasured) {
  AskTell strategy(options());
  test::MemoryObserver observer;
  observer.stop_at = 6;
  strategy.run(small_.problem(), observer);
  const std::size_t measured = asked_.size();
  EXPECT_GT(measured, 0U);
  EXPECT_LT(measured, 10U) << "less than a generation";
  observer.stop_at = -1;
  strategy.run(small_.problem(), observer);
  EXPECT_GT(asked_.size(), measured);
  for (const auto& [choice, times] : asked_)
    EXPECT_EQ(times, 1);
}

TEST_F(Searching, ExhaustionFindsTheFrontOfAllChoices) {
  AskTellOptions all = options();
  all.evaluations = 1000;
  all.programs = 0;
  all.make_searcher = [](const SearcherInputs& to) {
    return std::make_unique<search::ExhaustiveSearch>(to.space, 16);
  };
  AskTell strategy(all);
  const Solution solution = test::expect_resumable(strategy, small_, 20);
  EXPECT_EQ(asked_.size(), 81U);
  for (const auto& [choice, times] : asked_) {
    std::map<Choice, int> counted;
    const double accuracy = MadeUpAccuracy(small_.problem(), counted).measure(choice).mean;
    const double energy =
        small_.model.evaluate(assignment_of(small_.space, choice))->totals.energy_pj;
    const bool in_front = std::any_of(solution.front.begin(), solution.front.end(),
                                      [&](const Evaluated& e) { return e.choice == choice; });
    const bool beaten =
        std::any_of(solution.front.begin(), solution.front.end(), [&](const Evaluated& e) {
          return e.choice != choice && e.accuracy.mean >= accuracy && e.totals.energy_pj <= energy;
        });
    EXPECT_NE(in_front, beaten);
  }
}

TEST_F(Searching, NamesADamagedCheckpoint) {
  AskTell strategy(options());
  test::MemoryObserver observer;
  strategy.run(small_.problem(), observer);
  const auto run_with = [&](const std::string& name, const std::string& json) {
    test::MemoryObserver again;
    again.kept = observer.kept;
    again.kept.at(name).json = json;
    try {
      strategy.run(small_.problem(), again);
      return std::string("no error");
    } catch (const IoError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(run_with("ask-tell", "{"), ::testing::HasSubstr("checkpoint 'ask-tell' is damaged"));
  EXPECT_THAT(run_with("ask-tell", R"({"asked": 3})"),
              ::testing::HasSubstr("checkpoint 'ask-tell' is damaged"));
  EXPECT_THAT(run_with("integer-programs", R"({"a": 1})"),
              ::testing::HasSubstr("checkpoint 'integer-programs' is damaged"));
}

}  // namespace
}  // namespace tessera::supernet
