// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/lionheart.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/supernet/channels.h"

#include "checkpoint_json.h"

namespace tessera::supernet {

bool Patience::stop_after(double score) {
  last_.push_back(score);
  last_.pop_front();
  improved_ = false;
  if (*std::max_element(last_.begin(), last_.end()) < best_)
    return true;
  if (score > best_) {
    best_ = score;
    improved_ = true;
  }
  return false;
}

void Patience::restore(std::deque<double> last, double best) {
  last_ = std::move(last);
  best_ = best;
}

void accept_greedily(const std::vector<std::size_t>& order, double bar, std::size_t& position,
                     const std::function<std::optional<double>(std::size_t)>& best_with,
                     const std::function<void(std::size_t, bool)>& decided) {
  while (position < order.size()) {
    const std::size_t layer = order[position];
    const std::optional<double> best = best_with(layer);
    if (!best)
      return;
    ++position;
    decided(layer, *best >= bar);
  }
}

namespace {

constexpr std::string_view kName = "lionheart";
constexpr std::string_view kLayerName = "lionheart.layer";  // the layer in training

// The path on which a layer stays digital: int8, which costs little accuracy, or else the first
// digital one. None: no digital path.
std::optional<int> digital_path(const std::vector<plan::Path>& paths) {
  const format::NumberFormat int8 = format::Integer{.weight_bits = 8, .activation_bits = 8};
  std::optional<int> first;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].parts.front().format == int8)
      return static_cast<int>(i);
    if (!first && !is_analog(paths[i]))
      first = static_cast<int>(i);
  }
  return first;
}

std::optional<int> analog_path(const std::vector<plan::Path>& paths) {
  const auto found = std::find_if(paths.begin(), paths.end(), is_analog);
  return found == paths.end() ? std::nullopt
                              : std::optional(static_cast<int>(found - paths.begin()));
}

// One run of the method: its state is what the checkpoints hold.
class LionheartRun {
 public:
  LionheartRun(const LionheartOptions& options, const Problem& problem, Observer& observer)
      : options_(options), problem_(problem), observer_(observer) {
    for (std::size_t layer = 0; layer < problem.space.size(); ++layer) {
      const std::optional<int> digital = digital_path(problem.space[layer]);
      const std::optional<int> analog = analog_path(problem.space[layer]);
      choice_.push_back(digital.value_or(0));
      analog_.push_back(analog.value_or(0));
      if (digital && analog)
        order_.push_back(layer);
    }
    const auto& layers = problem.network.workload().layers;
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return layers[a].macs > layers[b].macs; });
    restore();
  }

  Solution run() {
    if (front_.empty())
      measure_digital();
    // What the digital network reaches, less the threshold. Every layer is held to it, so the
    // losses of all layers together keep the threshold.
    const double bar = front_.front().accuracy.mean - options_.threshold;
    accept_greedily(
        order_, bar, position_, [&](std::size_t layer) { return train_layer(layer); },
        [&](std::size_t layer, bool accepted) { decide(layer, accepted); });
    Solution solution;
    solution.front = front_;
    solution.weights = weights_;
    solution.evaluations = evaluations_;
    solution.training_samples = steps_ * options_.training.batch;
    return solution;
  }

 private:
  // The training of one layer.
  struct Attempt {
    Patience patience;
    std::int64_t evaluated = 0;  // rounds of training and evaluation
    bool stopped = false;        // out of patience
    std::optional<Evaluated> best = std::nullopt;
    Weights weights = {};  // of `best`
  };

  nn::Split images() const {
    return nn::take(problem_.data.validation, problem_.evaluation.images);
  }

  // Every evaluation programs its chips anew from the trained weights, which measuring does not
  // change, on the same held-out images.
  plan::Accuracy measure(const nn::MappedNetwork& mapped) {
    ++evaluations_;
    nn::ChipPlan plan = problem_.evaluation.chips;
    plan.seconds.resize(1);
    return mapped.measure(images(), problem_.preprocessing, plan, problem_.rng.split("evaluation"))
        .front();
  }

  void measure_digital() {
    const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice_));
    if (!cost) {
      throw UsageError(
          fmt::format("strategy {}: the digital mapping that it starts from does not "
                      "fit: {}",
                      kName, cost.error().detail));
    }
    const nn::MappedNetwork mapped(problem_.network, assignment_of(problem_.space, choice_),
                                   problem_.model.platform(), problem_.ranges);
    front_.push_back({choice_, cost->totals, measure(mapped)});
    weights_.push_back(Weights::of(mapped.network(), mapped.kernel_state()));
    save_member(0);
    save();
    report_best(problem_, front_, weights_, observer_);
  }

  // The best accuracy that the layer's training reaches; below every bar where its tiles do not
  // fit.
  std::optional<double> train_layer(std::size_t layer) {
    Choice choice = choice_;
    choice[layer] = analog_[layer];
    const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice));
    attempt_ = Attempt{.patience = Patience(options_.patience)};
    if (!cost)
      return -1;
    if (!observer_.keep_going())
      return std::nullopt;

    nn::MappedNetwork mapped(weights_.back().load_into(problem_.network),
                             assignment_of(problem_.space, choice), problem_.model.platform(),
                             problem_.ranges);
    nn::TensorMap kernels = weights_.back().kernels;
    kernels.merge(mapped.kernel_state());  // of the layer that is new on its tiles
    mapped.load_kernel_state(kernels);

    nn::TrainingOptions training = options_.training;
    const auto layers_left = static_cast<std::int64_t>(order_.size() - position_);
    training.steps = (options_.steps - steps_) / layers_left;
    const Rng rng = problem_.rng.split("layer").split(position_);
    nn::Trainer trainer(mapped.trained(), problem_.data, problem_.preprocessing, training,
                        rng.split("data"), &problem_.network);
    restore_attempt(trainer, choice, cost->totals);
    while (!attempt_.stopped && attempt_.evaluated < options_.evaluations) {
      const std::int64_t begin = training.steps * attempt_.evaluated / options_.evaluations;
      const std::int64_t end = training.steps * (attempt_.evaluated + 1) / options_.evaluations;
      if (begin == end && attempt_.evaluated > 0) {
        ++attempt_.evaluated;  // fewer steps than evaluations: nothing has changed
        continue;
      }
      if (!train_until(mapped, trainer, end, rng))
        return std::nullopt;
      const plan::Accuracy accuracy = measure(mapped);
      ++attempt_.evaluated;
      trace({fmt::format("layer {}", position_ + 1), trainer.steps_done(), "validation_top1",
             accuracy.mean});
      attempt_.stopped = attempt_.patience.stop_after(accuracy.mean);
      if (attempt_.patience.improved()) {
        attempt_.best = Evaluated{choice, cost->totals, accuracy};
        attempt_.weights = Weights::of(mapped.network(), mapped.kernel_state());
      }
      if (observer_.checkpoint_due())
        save_attempt(trainer);
    }
    steps_ += trainer.steps_done();
    return attempt_.best ? attempt_.best->accuracy.mean : -1;
  }

  // False when the run is to end before that step.
  bool train_until(nn::MappedNetwork& mapped, nn::Trainer& trainer, std::int64_t end,
                   const Rng& rng) {
    mapped.train(trainer, rng, [&](const nn::Trainer& now, const nn::Tensor& loss) {
      if (now.steps_done() % 20 == 0 && loss.defined())
        nn::checked_loss(now, loss);
      const auto steps = static_cast<double>(std::max<std::int64_t>(now.options().steps, 1));
      observer_.progress(
          (static_cast<double>(position_) + static_cast<double>(now.steps_done()) / steps) /
              static_cast<double>(order_.size()),
          "layer by layer onto tiles");
      if (observer_.checkpoint_due())
        save_attempt(now);
      return now.steps_done() < end && observer_.keep_going();
    });
    if (trainer.steps_done() >= end && observer_.keep_going())
      return true;
    save_attempt(trainer);
    return false;
  }

  void decide(std::size_t layer, bool accepted) {
    trace({"greedy", static_cast<std::int64_t>(position_), "accepted", accepted ? 1.0 : 0.0});
    if (accepted) {
      choice_[layer] = analog_[layer];
      front_.push_back(*attempt_.best);
      weights_.push_back(std::move(attempt_.weights));
      save_member(front_.size() - 1);
    }
    save();
    if (accepted)
      report_best(problem_, front_, weights_, observer_);
  }

  void trace(const plan::TracePoint& point) {
    observer_.trace(point);
    trace_.push_back(point);
  }

  static std::string member_name(std::size_t member) { return fmt::format("{}.{}", kName, member); }

  void save_member(std::size_t member) {
    Checkpoint checkpoint;
    detail::add_weights(weights_[member], "", checkpoint.tensors);
    observer_.save(member_name(member), checkpoint);
  }

  void save() {
    nlohmann::json json = {{"position", position_},
                           {"steps", steps_},
                           {"evaluations", evaluations_},
                           {"trace", detail::trace_to_json(trace_)}};
    for (const Evaluated& member : front_) {
      json["front"].push_back(
          {{"choice", member.choice}, {"accuracy", detail::accuracy_to_json(member.accuracy)}});
    }
    observer_.save(kName, {.tensors = {}, .json = json.dump()});
  }

  void restore() {
    detail::restore(observer_, kName, [&](const nlohmann::json& json, const nn::TensorMap&) {
      position_ = json.at("position");
      steps_ = json.at("steps");
      evaluations_ = json.at("evaluations");
      for (const plan::TracePoint& point : detail::trace_from_json(json.at("trace")))
        trace(point);
      for (const auto& row : json.at("front")) {
        choice_ = row.at("choice").get<Choice>();
        const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice_));
        TESSERA_CHECK(cost.has_value(), "an accepted mapping does not fit");
        front_.push_back({choice_, cost->totals, detail::accuracy_from_json(row.at("accuracy"))});
        const std::string name = member_name(front_.size() - 1);
        const auto member = observer_.load(name);
        if (!member)
          throw IoError(fmt::format("checkpoint '{}' is missing", name));
        weights_.push_back(detail::read_weights(member->tensors, ""));
      }
    });
  }

  void save_attempt(const nn::Trainer& trainer) {
    Checkpoint checkpoint{.tensors = trainer.state(), .json = ""};
    nlohmann::json json = {{"position", position_},
                           {"evaluations", evaluations_},
                           {"evaluated", attempt_.evaluated},
                           {"stopped", attempt_.stopped},
                           {"last", attempt_.patience.last()},
                           {"best", attempt_.patience.best()},
                           {"trace", detail::trace_to_json(trace_)}};
    if (attempt_.best) {
      json["accuracy"] = detail::accuracy_to_json(attempt_.best->accuracy);
      detail::add_weights(attempt_.weights, "best/", checkpoint.tensors);
    }
    checkpoint.json = json.dump();
    observer_.save(kLayerName, checkpoint);
  }

  // A checkpoint of an earlier layer is over.
  void restore_attempt(nn::Trainer& trainer, const Choice& choice, const plan::Totals& totals) {
    const auto read = [&](const nlohmann::json& json, const nn::TensorMap& tensors) {
      if (json.at("position") != position_)
        return;
      trainer.restore(tensors);
      evaluations_ = json.at("evaluations");
      attempt_.evaluated = json.at("evaluated");
      attempt_.stopped = json.at("stopped");
      attempt_.patience.restore(json.at("last").get<std::deque<double>>(), json.at("best"));
      const std::vector<plan::TracePoint> all = detail::trace_from_json(json.at("trace"));
      for (std::size_t i = trace_.size(); i < all.size(); ++i)
        trace(all[i]);
      if (json.contains("accuracy")) {
        attempt_.best = Evaluated{choice, totals, detail::accuracy_from_json(json.at("accuracy"))};
        attempt_.weights = detail::read_weights(tensors, "best/");
      }
    };
    detail::restore(observer_, kLayerName, read);
  }

  const LionheartOptions& options_;
  const Problem& problem_;
  Observer& observer_;
  std::vector<std::size_t> order_;  // layers that could move, by descending MACs
  std::vector<int> analog_;         // path of each layer on tiles
  Choice choice_;                   // accepted so far
  std::size_t position_ = 0;        // in order_
  std::vector<Evaluated> front_;    // the digital mapping, then those accepted
  std::vector<Weights> weights_;    // of each
  std::int64_t steps_ = 0;          // of finished layers
  std::int64_t evaluations_ = 0;
  Attempt attempt_{.patience = Patience(1)};
  std::vector<plan::TracePoint> trace_;
};

}  // namespace

Solution Lionheart::run(const Problem& problem, Observer& observer) {
  return LionheartRun(options_, problem, observer).run();
}

}  // namespace tessera::supernet
