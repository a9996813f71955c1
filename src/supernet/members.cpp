// SPDX-License-Identifier: Apache-2.0
#include "members.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <torch/types.h>

#include "tessera/core/error.h"

#include "checkpoint_json.h"

namespace tessera::supernet::detail {

Members::Members(std::string_view name, std::size_t turns, const Problem& problem,
                 Observer& observer)
    : name_(name), turns_(turns), problem_(problem), observer_(observer) {
  restore();
}

std::int64_t Members::share_of(std::int64_t steps) const {
  const auto turns = static_cast<std::int64_t>(turns_);
  const auto turn = static_cast<std::int64_t>(turn_);
  return steps * (turn + 1) / turns - steps * turn / turns;
}

bool Members::goes_on(const nn::Trainer& trainer, const nn::Tensor& loss, const Stretch& stretch,
                      const std::function<void(Checkpoint&)>& extra) {
  const std::int64_t step = trainer.steps_done();
  if (step > 0 && step % 20 == 0 && loss.defined()) {
    trace({fmt::format("{} {}", stretch.phase, turn_ + 1), step, "loss",
           nn::checked_loss(trainer, loss)});
  }
  const auto done = static_cast<double>(stretch.before + step);
  const auto total = static_cast<double>(std::max<std::int64_t>(stretch.total, 1));
  observer_.progress((static_cast<double>(turn_) + done / total) / static_cast<double>(turns_),
                     fmt::format("{}: {}", name_, stretch.phase));
  if (observer_.checkpoint_due())
    save_training(trainer, stretch, extra);
  return observer_.keep_going();
}

bool Members::train(nn::Trainer& trainer, const Stretch& stretch,
                    const std::function<nn::Tensor()>& step,
                    const std::function<void(Checkpoint&)>& extra) {
  nn::Tensor loss;
  while (!trainer.done()) {
    if (!goes_on(trainer, loss, stretch, extra)) {
      save_training(trainer, stretch, extra);
      return false;
    }
    loss = step();
  }
  return true;
}

bool Members::train(nn::MappedNetwork& mapped, nn::Trainer& trainer, const Stretch& stretch,
                    const Rng& rng, const std::function<void(Checkpoint&)>& extra) {
  mapped.train(trainer, rng, [&](const nn::Trainer& now, const nn::Tensor& loss) {
    return goes_on(now, loss, stretch, extra);
  });
  if (trainer.done())
    return true;
  save_training(trainer, stretch, extra);
  return false;
}

void Members::save_training(const nn::Trainer& trainer, const Stretch& stretch,
                            const std::function<void(Checkpoint&)>& extra) {
  Checkpoint checkpoint{.tensors = trainer.state(), .json = ""};
  checkpoint.json =
      nlohmann::json({{"turn", turn_}, {"phase", stretch.phase}, {"trace", trace_to_json(trace_)}})
          .dump();
  if (extra)
    extra(checkpoint);
  observer_.save(name_ + ".training", checkpoint);
}

std::optional<Checkpoint> Members::training(const std::string& phase) const {
  std::optional<Checkpoint> found;
  detail::restore(observer_, name_ + ".training",
                  [&](const nlohmann::json& json, const nn::TensorMap& tensors) {
                    if (json.at("turn") == turn_ && json.at("phase") == phase)
                      found = Checkpoint{.tensors = tensors, .json = json.dump()};
                  });
  return found;
}

void Members::add(const nn::MappedNetwork& mapped, const plan::Totals& totals, std::int64_t steps) {
  nn::ChipPlan plan = problem_.evaluation.chips;
  plan.seconds.resize(1);
  const nn::Split images = nn::take(problem_.data.validation, problem_.evaluation.images);
  front_.push_back(
      {.choice = {},
       .totals = totals,
       .accuracy =
           mapped.measure(images, problem_.preprocessing, plan, problem_.rng.split("evaluation"))
               .front(),
       .made = mapped.assignment()});
  weights_.push_back(Weights::of(mapped.network(), mapped.kernel_state()));
  trace({name_, static_cast<std::int64_t>(turn_ + 1), "validation_top1",
         front_.back().accuracy.mean});
  Checkpoint checkpoint;
  add_weights(weights_.back(), "", checkpoint.tensors);
  observer_.save(fmt::format("{}.{}", name_, front_.size()), checkpoint);
  skip(steps);
  report_best(problem_, front_, weights_, observer_);
}

void Members::skip(std::int64_t steps) {
  steps_ += steps;
  ++turn_;
  save();
}

void Members::trace(const plan::TracePoint& point) {
  observer_.trace(point);
  trace_.push_back(point);
}

Solution Members::solution(std::int64_t batch) const {
  Solution solution;
  solution.front = front_;
  solution.weights = weights_;
  solution.evaluations = static_cast<std::int64_t>(front_.size());
  solution.training_samples = steps_ * batch;
  return solution;
}

void Members::save() {
  nlohmann::json json = {{"turn", turn_},
                         {"steps", steps_},
                         {"trace", trace_to_json(trace_)},
                         {"front", nlohmann::json::array()}};
  for (const Evaluated& member : front_) {
    json["front"].push_back({{"paths", assignment_to_json(*member.made)},
                             {"accuracy", accuracy_to_json(member.accuracy)}});
  }
  observer_.save(name_, {.tensors = {}, .json = json.dump()});
}

void Members::restore() {
  detail::restore(observer_, name_, [&](const nlohmann::json& json, const nn::TensorMap&) {
    turn_ = json.at("turn");
    steps_ = json.at("steps");
    for (const plan::TracePoint& point : trace_from_json(json.at("trace")))
      trace(point);
    for (const auto& row : json.at("front")) {
      const plan::Assignment made = assignment_from_json(row.at("paths"));
      const auto cost = problem_.model.evaluate(made);
      TESSERA_CHECK(cost.has_value(), "a mapping of a checkpoint does not fit");
      front_.push_back({.choice = {},
                        .totals = cost->totals,
                        .accuracy = accuracy_from_json(row.at("accuracy")),
                        .made = made});
      const std::string member = fmt::format("{}.{}", name_, front_.size());
      const auto weights = observer_.load(member);
      if (!weights)
        throw IoError(fmt::format("checkpoint '{}' is missing", member));
      weights_.push_back(read_weights(weights->tensors, ""));
    }
  });
  // What the training that was going on had traced beyond.
  detail::restore(observer_, name_ + ".training",
                  [&](const nlohmann::json& json, const nn::TensorMap&) {
                    if (json.at("turn") != turn_)
                      return;
                    const auto all = trace_from_json(json.at("trace"));
                    for (std::size_t i = trace_.size(); i < all.size(); ++i)
                      trace(all[i]);
                  });
}

}  // namespace tessera::supernet::detail
