// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/harmonica.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

#include "members.h"

namespace tessera::supernet {
namespace {

constexpr std::string_view kName = "harmonica";

// Indices of the first digital and the first analog path, where there are both.
struct Sides {
  int digital = 0;
  int analog = 0;
};
std::optional<Sides> sides_of(const std::vector<plan::Path>& paths) {
  const auto analog = std::find_if(paths.begin(), paths.end(), is_analog);
  const auto digital = std::find_if_not(paths.begin(), paths.end(), is_analog);
  if (analog == paths.end() || digital == paths.end())
    return std::nullopt;
  return Sides{static_cast<int>(digital - paths.begin()), static_cast<int>(analog - paths.begin())};
}

}  // namespace

void share_by_sensitivity(const std::vector<std::vector<double>>& sensitivity,
                          std::span<const double> macs, double share,
                          std::vector<ChannelChoice>& choices) {
  struct Item {
    std::size_t layer;
    std::size_t group;
    double macs;
    double density;
  };
  std::vector<Item> items;
  double wanted = 0;
  double held = 0;
  for (std::size_t layer = 0; layer < choices.size(); ++layer) {
    ChannelChoice& choice = choices[layer];
    wanted += share * macs[layer];
    const std::optional<Sides> sides = sides_of(choice.paths);
    if (!sides) {
      std::fill(choice.path_of.begin(), choice.path_of.end(), 0);
      held += is_analog(choice.paths.front()) ? 0 : macs[layer];
      continue;
    }
    std::fill(choice.path_of.begin(), choice.path_of.end(), sides->analog);
    const double each = macs[layer] / static_cast<double>(choice.path_of.size());
    for (std::size_t group = 0; group < choice.path_of.size(); ++group)
      items.push_back({layer, group, each, sensitivity[layer][group] / each});
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.density > b.density; });
  for (const Item& item : items) {
    if (held >= wanted)
      return;
    ChannelChoice& choice = choices[item.layer];
    choice.path_of[item.group] = sides_of(choice.paths)->digital;
    held += item.macs;
  }
}

namespace {

class HarmonicaRun {
 public:
  HarmonicaRun(const HarmonicaOptions& options, const Problem& problem, Observer& observer)
      : options_(options),
        problem_(problem),
        members_(kName, options.digital_shares.size(), problem, observer) {
    const auto& layers = problem.network.workload().layers;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      ChannelChoice choice{.paths = sharing_paths(problem.space[i]), .path_of = {}};
      const ir::LayerDims& dims = layers[i].dims;
      choice.step = dims.G > 1 ? dims.M / dims.G : 1;
      choice.path_of.assign(static_cast<std::size_t>(dims.M / choice.step), 0);
      choices_.push_back(std::move(choice));
      macs_.push_back(static_cast<double>(layers[i].macs));
    }
  }

  Solution run() {
    if (std::none_of(choices_.begin(), choices_.end(), [](const ChannelChoice& choice) {
          return sides_of(choice.paths).has_value();
        })) {
      throw UsageError(
          fmt::format("strategy {}: no layer has both a digital and an analog path; "
                      "allow them with --formats",
                      kName));
    }
    const std::size_t turns = options_.digital_shares.size();
    if (members_.turn() < turns) {
      sensitivity_ = measure_sensitivity();
      while (members_.turn() < turns && turn()) {
      }
    }
    Solution solution = members_.solution(options_.training.batch);
    solution.training_samples += batches() * options_.training.batch;
    return solution;
  }

 private:
  std::int64_t batches() const {
    return std::min(options_.sensitivity_batches, options_.steps / 10);
  }
  std::int64_t steps_of_turn() const { return members_.share_of(options_.steps - batches()); }

  // Of every group of channels; small, and measured anew by a run that continues.
  std::vector<std::vector<double>> measure_sensitivity() const {
    nn::Network network = problem_.network.clone();
    nn::TrainingOptions training = options_.training;
    training.steps = batches();
    training.distillation = 0;
    training.augment = false;
    std::vector<nn::Tensor> weights;
    std::vector<nn::Tensor> squares;
    for (const nn::LayerParameters& layer : network.layers()) {
      weights.push_back(layer.weight);
      squares.push_back(torch::zeros_like(layer.weight.detach()));
    }
    nn::Trainer trainer({weights}, problem_.data, problem_.preprocessing, training,
                        problem_.rng.split("sensitivity"), nullptr);
    nn::FloatRunner runner;
    while (!trainer.done()) {
      trainer.step([&](const nn::Batch& batch) {
        const nn::Tensor loss = trainer.loss(network.forward(batch.inputs, runner), batch);
        loss.backward();
        for (std::size_t i = 0; i < weights.size(); ++i) {
          squares[i] += weights[i].grad().square();
          weights[i].mutable_grad() = nn::Tensor();  // measured, not trained
        }
        return loss.detach();
      });
    }
    const torch::NoGradGuard no_grad;
    std::vector<std::vector<double>> all;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const nn::Tensor rows = weights[i].detach().flatten(1);
      const nn::Tensor each = squares[i].flatten(1).sum(1) * rows.abs().amax(1).square();
      const nn::Tensor groups =
          each.reshape({-1, choices_[i].step}).sum(1).to(torch::kFloat64).cpu().contiguous();
      const double* values = groups.data_ptr<double>();
      all.emplace_back(values, values + groups.numel());
    }
    return all;
  }

  // One share of digital MACs. False when the run is to end before its end.
  bool turn() {
    const Rng rng = problem_.rng.split("share").split(members_.turn());
    std::vector<ChannelChoice> choices = choices_;
    share_by_sensitivity(sensitivity_, macs_, options_.digital_shares[members_.turn()], choices);
    const auto assignment = fitting_assignment(problem_.model, choices);
    if (!assignment) {
      members_.skip(0);
      return true;
    }
    const nn::Network start = members_.weights().empty()
                                  ? problem_.network.clone()
                                  : members_.weights().back().load_into(problem_.network);
    nn::MappedNetwork mapped(start, *assignment, problem_.model.platform(), problem_.ranges);
    nn::TrainingOptions training = options_.training;
    training.steps = steps_of_turn();
    nn::Trainer trainer(mapped.trained(), problem_.data, problem_.preprocessing, training,
                        rng.split("data"), &problem_.network);
    const std::string phase = "training";
    if (const auto checkpoint = members_.training(phase))
      trainer.restore(checkpoint->tensors);
    if (!members_.train(mapped, trainer, {phase, 0, training.steps}, rng, {}))
      return false;
    members_.add(mapped, problem_.model.evaluate(*assignment)->totals, training.steps);
    return true;
  }

  const HarmonicaOptions& options_;
  const Problem& problem_;
  detail::Members members_;
  std::vector<ChannelChoice> choices_;  // every group on its layer's first path
  std::vector<double> macs_;
  std::vector<std::vector<double>> sensitivity_;
};

}  // namespace

Solution Harmonica::run(const Problem& problem, Observer& observer) {
  return HarmonicaRun(options_, problem, observer).run();
}

}  // namespace tessera::supernet
