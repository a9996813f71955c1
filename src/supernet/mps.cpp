// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/mps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/supernet/supernet.h"

namespace tessera::supernet {

double training_strength(const TrainingEffects& effects, const format::NumberFormat& format,
                         double ramp) {
  if (!std::holds_alternative<format::Analog>(format))
    return effects.quantisation ? ramp : 0;
  switch (effects.noise) {
    case TrainingNoise::kNone:
      return 0;
    case TrainingNoise::kFull:
      return 1;
    case TrainingNoise::kScaled:
      return ramp;
  }
  TESSERA_CHECK(false, "training noise {}", static_cast<int>(effects.noise));
}

namespace {

constexpr std::string_view kCheckpointName = "mps";

// One run of the method: its state is what a checkpoint holds, its phases are the member functions.
class MpsRun {
 public:
  MpsRun(const MpsOptions& options, const Problem& problem, Observer& observer)
      : options_(options),
        problem_(problem),
        observer_(observer),
        net_(problem.network, problem.space, problem.model.platform(), problem.ranges),
        selection_(problem.space),
        trainer_(net_.trained(), problem.data, problem.preprocessing, training_options(options),
                 problem.rng.split("train"), &problem.network) {
    for (const auto& paths : problem.space)
      counts_.push_back(paths.size());
    models_per_step_ = *std::max_element(counts_.begin(), counts_.end());
    restore();
  }

  Solution run() {
    train_until(options_.fair_steps, "supernet: fair training");
    if (observer_.keep_going())
      measure_sensitivity();
    train_until(options_.fair_steps + options_.ramp_steps, "supernet: noise and quantisation");
    while (round_ < options_.rounds && observer_.keep_going())
      select_round();
    return finish();
  }

 private:
  static nn::TrainingOptions training_options(const MpsOptions& options) {
    nn::TrainingOptions training = options.training;
    training.steps = options.fair_steps + options.ramp_steps;
    return training;
  }

  double done_fraction() const {
    // Weights of the phases from their cost: a strict-fair step trains one batch for each path,
    // forward and backward; a selection round runs its samples forward only, on every chip.
    const double step =
        static_cast<double>(options_.training.batch) * static_cast<double>(models_per_step_) * 3;
    const double steps = static_cast<double>(options_.fair_steps + options_.ramp_steps) * step;
    const double round = static_cast<double>(options_.samples_per_round *
                                             options_.selection_images * options_.selection_chips);
    const double rounds = static_cast<double>(options_.rounds) * round;
    const double done =
        static_cast<double>(trainer_.steps_done()) * step + static_cast<double>(round_) * round;
    return done / std::max(steps + rounds, 1.0);
  }

  // Strength of each path of each layer at the present step.
  std::vector<std::vector<double>> strengths() const {
    std::vector<std::vector<double>> strength;
    const std::int64_t step = trainer_.steps_done() - options_.fair_steps;
    const double progress = options_.ramp_steps > 0 ? static_cast<double>(step) /
                                                          static_cast<double>(options_.ramp_steps)
                                                    : 1;
    const std::vector<double> ranks = sensitivity_ranks();
    for (std::size_t layer = 0; layer < counts_.size(); ++layer) {
      double value = options_.fair_strength;
      if (step >= 0) {
        const double end =
            options_.fastest_ramp + (options_.slowest_ramp - options_.fastest_ramp) * ranks[layer];
        value += (1 - options_.fair_strength) * std::min(1.0, progress / end);
      }
      auto& paths = strength.emplace_back();
      for (const plan::Path& path : problem_.space[layer])
        paths.push_back(training_strength(options_.effects, path.parts.front().format, value));
    }
    return strength;
  }

  // Position of each layer between the least (0) and the most sensitive (1), by its worst path.
  std::vector<double> sensitivity_ranks() const {
    std::vector<double> worst(counts_.size(), 0);
    for (std::size_t layer = 0; layer < drops_.size(); ++layer) {
      worst[layer] = *std::max_element(drops_[layer].begin(), drops_[layer].end());
    }
    std::vector<std::size_t> order(counts_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return worst[a] < worst[b]; });
    std::vector<double> ranks(counts_.size(), 0);
    for (std::size_t position = 0; position < order.size(); ++position) {
      ranks[order[position]] =
          order.size() > 1 ? static_cast<double>(position) / static_cast<double>(order.size() - 1)
                           : 0;
    }
    return ranks;
  }

  void train_until(std::int64_t end, const std::string& phase) {
    nn::Tensor last_loss;
    while (trainer_.steps_done() < end && observer_.keep_going()) {
      const std::int64_t step = trainer_.steps_done();
      const Rng step_rng = problem_.rng.split("step").split(static_cast<std::uint64_t>(step));
      last_loss = net_.fair_step(trainer_, step_rng.split("noise"), strengths(),
                                 strict_fair_choices(counts_, step_rng.split("paths")));
      if (step % 20 == 0) {
        trace({"supernet", step, "loss", nn::checked_loss(trainer_, last_loss)});
      }
      observer_.progress(done_fraction(), phase);
      if (observer_.checkpoint_due())
        save();
    }
    save();
  }

  // Accuracy drop of the network with one layer alone on one path, every other layer on its first
  // path.
  void measure_sensitivity() {
    if (!drops_.empty())
      return;
    const nn::Split images = nn::take(problem_.data.validation, options_.sensitivity_images);
    const Choice reference(counts_.size(), 0);
    const auto accuracy = [&](const Choice& choice) {
      return net_
          .measure(choice, images, problem_.preprocessing, selection_plan(),
                   problem_.rng.split("sensitivity"))
          .front()
          .mean;
    };
    const double base = accuracy(reference);
    std::vector<std::vector<double>> drops;
    for (std::size_t layer = 0; layer < counts_.size(); ++layer) {
      auto& row = drops.emplace_back(counts_[layer], 0.0);
      for (std::size_t path = 1; path < counts_[layer]; ++path) {
        if (!observer_.keep_going())
          return;
        Choice choice = reference;
        choice[layer] = static_cast<int>(path);
        row[path] = base - accuracy(choice);
        observer_.progress(done_fraction(), "supernet: sensitivity of each layer");
      }
    }
    drops_ = std::move(drops);
    save();
  }

  nn::ChipPlan selection_plan() const {
    return {.chips = options_.selection_chips,
            .seconds = {problem_.evaluation.chips.seconds.front()}};
  }

  // Draws until the tiles suffice: a layer that does not fit falls back to a path without tiles.
  std::optional<std::pair<Choice, plan::Totals>> repair(Choice choice, Rng& rng) const {
    for (std::size_t attempt = 0; attempt <= 4 * counts_.size(); ++attempt) {
      const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice));
      if (cost)
        return std::pair{choice, cost->totals};
      const std::size_t layer = rng.below(counts_.size());
      choice[layer] = static_cast<int>(rng.below(counts_[layer]));
    }
    return std::nullopt;
  }

  std::vector<Choice> proposals(Rng& rng) const {
    std::vector<Choice> wanted;
    if (round_ == 0) {
      // Every path used wherever it exists: the corners that any front must be compared with.
      for (std::size_t path = 0; path < models_per_step_; ++path) {
        Choice& corner = wanted.emplace_back();
        for (const std::size_t count : counts_)
          corner.push_back(static_cast<int>(std::min(path, count - 1)));
      }
    } else {
      wanted.push_back(selection_.mode());
    }
    const std::vector<int> ranks = constrained_ranks(problem_.limits, archive_);
    std::vector<std::size_t> parents;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      if (ranks[i] == 0)
        parents.push_back(i);
    }
    while (static_cast<std::int64_t>(wanted.size()) < options_.samples_per_round) {
      // Half explores the distribution, half looks around what is best so far: a product of
      // independent softmaxes cannot hold a whole front, its members can.
      if (parents.empty() || wanted.size() % 2 == 0) {
        wanted.push_back(selection_.sample(options_.exploration, rng));
      } else {
        const Evaluated& parent = archive_[parents[rng.below(parents.size())]];
        wanted.push_back(selection_.mutate(parent.choice, options_.exploration, rng));
      }
    }
    return wanted;
  }

  void select_round() {
    Rng rng = problem_.rng.split("select").split(static_cast<std::uint64_t>(round_));
    const nn::Split images = nn::take(problem_.data.validation, options_.selection_images);
    std::set<Choice> known;
    for (const Evaluated& candidate : archive_)
      known.insert(candidate.choice);
    const std::size_t before = archive_.size();
    for (const Choice& proposal : proposals(rng)) {
      const auto repaired = repair(proposal, rng);
      if (!repaired || !known.insert(repaired->first).second)
        continue;
      if (!observer_.keep_going()) {
        // A round counts when it is whole: continuing must not see half of one.
        archive_.resize(before);
        return;
      }
      const plan::Accuracy accuracy =
          net_.measure(repaired->first, images, problem_.preprocessing, selection_plan(),
                       problem_.rng.split("evaluation"))
              .front();
      archive_.push_back({repaired->first, repaired->second, accuracy});
      observer_.progress(done_fraction(), "selection");
    }
    std::vector<Choice> choices;
    for (const Evaluated& candidate : archive_)
      choices.push_back(candidate.choice);
    const double loss =
        selection_.fit(choices, constrained_ranks(problem_.limits, archive_), options_);
    ++round_;
    trace({"selection", round_, "rank_loss", loss});
    trace({"selection", round_, "hypervolume", accuracy_energy_hypervolume()});
    std::vector<Evaluated> best;
    for (const std::size_t i : front_members(archive_))
      best.push_back(archive_[i]);
    observer_.found(best, net_.network(), net_.kernel_state());
    save();
  }

  // Of accuracy against energy, relative to 0 % and to the most expensive candidate of the first
  // round.
  double accuracy_energy_hypervolume() const {
    double reference = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(archive_.size(), models_per_step_); ++i) {
      reference = std::max(reference, archive_[i].totals.energy_pj);
    }
    std::vector<plan::Point> points;
    for (const Evaluated& candidate : archive_) {
      points.push_back({-candidate.accuracy.mean, candidate.totals.energy_pj / reference});
    }
    return plan::hypervolume(points, std::vector<double>{0, 1});
  }

  // The fronts of the archive, measured as the problem asks.
  Solution finish() {
    Solution solution;
    const nn::Split images = nn::take(problem_.data.validation, problem_.evaluation.images);
    nn::ChipPlan plan = problem_.evaluation.chips;
    plan.seconds.resize(1);
    for (const std::size_t i : front_members(archive_)) {
      Evaluated candidate = archive_[i];
      if (observer_.interrupted()) {
        solution.front.push_back(std::move(candidate));
        continue;
      }
      candidate.accuracy = net_.measure(candidate.choice, images, problem_.preprocessing, plan,
                                        problem_.rng.split("evaluation"))
                               .front();
      solution.front.push_back(std::move(candidate));
      observer_.progress(done_fraction(), "front");
    }
    for (std::size_t layer = 0; layer < drops_.size(); ++layer) {
      for (std::size_t path = 1; path < drops_[layer].size(); ++path) {
        solution.sensitivity.push_back({net_.network().workload().layers[layer].name,
                                        plan::to_string(problem_.space[layer][path]),
                                        drops_[layer][path]});
      }
    }
    solution.evaluations = static_cast<std::int64_t>(archive_.size());
    solution.training_samples = trainer_.steps_done() * options_.training.batch *
                                static_cast<std::int64_t>(models_per_step_);
    solution.kernel_state = net_.kernel_state();
    solution.network = net_.network().clone();
    return solution;
  }

  void trace(plan::TracePoint point) {
    observer_.trace(point);
    trace_.push_back(std::move(point));
  }

  void save() {
    nlohmann::json json;
    for (const plan::TracePoint& point : trace_) {
      json["trace"].push_back({point.phase, point.step, point.quantity, point.value});
    }
    json["round"] = round_;
    json["drops"] = drops_;
    json["alpha"] = selection_.parameters();
    for (const Evaluated& candidate : archive_) {
      json["archive"].push_back({{"choice", candidate.choice},
                                 {"mean", candidate.accuracy.mean},
                                 {"std", candidate.accuracy.std}});
    }
    observer_.save(kCheckpointName, {.tensors = trainer_.state(), .json = json.dump()});
  }

  void restore() {
    const auto checkpoint = observer_.load(kCheckpointName);
    if (!checkpoint)
      return;
    try {
      trainer_.restore(checkpoint->tensors);
      const nlohmann::json json = nlohmann::json::parse(checkpoint->json);
      round_ = json.at("round");
      drops_ = json.at("drops").get<std::vector<std::vector<double>>>();
      selection_.set_parameters(json.at("alpha"));
      for (const auto& row : json.value("trace", nlohmann::json::array())) {
        trace({row.at(0), row.at(1), row.at(2), row.at(3)});
      }
      for (const auto& row : json.value("archive", nlohmann::json::array())) {
        Evaluated candidate;
        candidate.choice = row.at("choice").get<Choice>();
        const auto cost = problem_.model.evaluate(assignment_of(problem_.space, candidate.choice));
        TESSERA_CHECK(cost.has_value(), "an archived mapping does not fit");
        candidate.totals = cost->totals;
        const nn::ChipPlan plan = selection_plan();
        candidate.accuracy = {
            .mean = row.at("mean"),
            .std = row.at("std"),
            .n = candidate.totals.tiles > 0 ? plan.chips : 1,
            .t_eval_s = plan.seconds.front(),
            .split = problem_.data.validation.name,
            .images = std::min(options_.selection_images, problem_.data.validation.size())};
        archive_.push_back(std::move(candidate));
      }
    } catch (const nlohmann::json::exception& broken) {
      throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kCheckpointName, broken.what()));
    }
  }

  const MpsOptions& options_;
  const Problem& problem_;
  Observer& observer_;
  Supernet net_;
  Selection selection_;
  nn::Trainer trainer_;
  std::vector<std::size_t> counts_;  // candidates of each layer
  std::size_t models_per_step_ = 1;
  std::vector<std::vector<double>> drops_;  // [layer][path], once measured
  std::vector<Evaluated> archive_;          // in the order of evaluation
  std::int64_t round_ = 0;
  std::vector<plan::TracePoint> trace_;
};

}  // namespace

Solution Mps::run(const Problem& problem, Observer& observer) {
  return MpsRun(options_, problem, observer).run();
}

}  // namespace tessera::supernet
