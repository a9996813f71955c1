// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/accuracy_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/nn/data/safetensors.h"
#include "tessera/supernet/path_space.h"

namespace tessera::supernet {
namespace {

constexpr std::string_view kCheckpointName = "shared-weights";

std::string parameter_name(std::size_t index) {
  return fmt::format("parameter.{}", index);
}

std::string bytes_of(const nn::Tensor& tensor) {
  const nn::Tensor plain = tensor.detach().cpu().contiguous();
  return {static_cast<const char*>(plain.data_ptr()), plain.nbytes()};
}

// What trained shared weights depend on; the names of units do not matter, so that one file serves
// several platforms.
std::string identity(const Problem& problem, const SharedWeightsOptions& options) {
  Sha256 hash;
  for (const nn::Tensor& parameter : problem.network.parameters())
    hash.add(bytes_of(parameter));
  const nn::Dataset& data = problem.data;
  // The same files may be cut, shifted or mirrored in other ways.
  hash.add(data.sha256).add(bytes_of(data.train.labels)).add(bytes_of(data.validation.labels));
  hash.add(static_cast<std::int64_t>(data.horizontal_flip)).add(data.crop_padding);
  for (const auto* values : {&problem.preprocessing.mean, &problem.preprocessing.std}) {
    for (const double value : *values)
      hash.add(fmt::format("{:a}", value));
  }
  for (const nn::RangeObserver& range : problem.ranges)
    hash.add(fmt::format("{} {:a} {:a}", range.count(), range.min(), range.max()));
  for (const auto& paths : problem.space) {
    hash.add("layer");
    for (const plan::Path& path : paths) {
      for (const plan::Part& part : path.parts)
        hash.add(format::to_string(part.format));
    }
  }
  const nn::TrainingOptions& t = options.training;
  hash.add(t.steps).add(t.batch).add(options.models).add(t.mask_steps);
  hash.add(fmt::format("{:a} {:a} {:a}", t.learning_rate, t.distillation, t.weight_clip));
  hash.add(fmt::format("{:x}", Rng(problem.rng).next_u64()));
  return hash.hex();
}

class SharedWeights final : public AccuracyModel {
 public:
  SharedWeights(const Problem& problem, const SharedWeightsOptions& options)
      : problem_(problem),
        options_(options),
        images_(nn::take(problem.data.validation, options.images)),
        net_(problem.network, problem.space, problem.model.platform(), problem.ranges),
        trainer_(net_.trained(), problem.data, problem.preprocessing, options.training,
                 problem.rng.split("shared weights").split("data"), &problem.network),
        uniform_(uniform_choices(problem.space)) {
    TESSERA_CHECK(options.models >= 2, "{} models a step", options.models);
  }

  bool prepare(Observer& observer, double share) override {
    if (options_.training.steps == 0)
      return true;
    // The run's own training first: one that wrote the file itself continues as one that did not
    // find it.
    if (const auto checkpoint = observer.load(kCheckpointName)) {
      restore(*checkpoint, observer);
    } else if (!options_.file.empty() && std::filesystem::exists(options_.file)) {
      read_file();
      return true;
    }
    while (!trainer_.done()) {
      if (!observer.keep_going()) {
        save(observer);
        return false;
      }
      step(observer);
      observer.progress(share * static_cast<double>(trainer_.steps_done()) /
                            static_cast<double>(options_.training.steps),
                        "supernetwork of all widths");
      if (observer.checkpoint_due())
        save(observer);
    }
    save(observer);
    if (!options_.file.empty())
      write_file();
    return true;
  }

  plan::Accuracy measure(const Choice& choice) override {
    nn::ChipPlan plan = problem_.evaluation.chips;
    plan.seconds.resize(1);
    return net_
        .measure(choice, images_, problem_.preprocessing, plan, problem_.rng.split("evaluation"))
        .front();
  }

  std::int64_t training_samples(std::int64_t) const override {
    return trainer_.steps_done() * options_.training.batch * options_.models;
  }
  const nn::Network& network() const override { return net_.network(); }
  nn::TensorMap kernel_state() const override { return net_.kernel_state(); }

 private:
  // The widest, the narrowest, and as many drawn ones as the step has room for.
  std::vector<Choice> models(Rng rng) const {
    std::vector<Choice> choices;
    if (!uniform_.empty())
      choices = {uniform_.back(), uniform_.front()};
    while (static_cast<std::int64_t>(choices.size()) < options_.models) {
      Choice& drawn = choices.emplace_back();
      for (const auto& paths : problem_.space)
        drawn.push_back(static_cast<int>(rng.below(paths.size())));
    }
    return choices;
  }

  void step(Observer& observer) {
    const std::int64_t number = trainer_.steps_done();
    const Rng rng = problem_.rng.split("shared weights")
                        .split("step")
                        .split(static_cast<std::uint64_t>(number));
    std::vector<std::vector<double>> full;
    for (const auto& paths : problem_.space)
      full.emplace_back(paths.size(), 1.0);
    const nn::Tensor loss =
        net_.fair_step(trainer_, rng.split("noise"), full, models(rng.split("models")));
    if (number % 20 == 0) {
      losses_.emplace_back(number, nn::checked_loss(trainer_, loss));
      observer.trace({"supernetwork", number, "loss", losses_.back().second});
    }
  }

  void save(Observer& observer) const {
    observer.save(kCheckpointName,
                  {.tensors = trainer_.state(), .json = nlohmann::json(losses_).dump()});
  }

  void restore(const Checkpoint& checkpoint, Observer& observer) {
    trainer_.restore(checkpoint.tensors);
    try {
      losses_ = nlohmann::json::parse(checkpoint.json)
                    .get<std::vector<std::pair<std::int64_t, double>>>();
    } catch (const nlohmann::json::exception& broken) {
      throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kCheckpointName, broken.what()));
    }
    for (const auto& [number, loss] : losses_)
      observer.trace({"supernetwork", number, "loss", loss});
  }

  void write_file() const {
    nn::SafeTensors content;
    content.metadata["tessera.shared_weights"] = identity(problem_, options_);
    const std::vector<nn::Tensor> parameters = net_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i)
      content.tensors.emplace_back(parameter_name(i), parameters[i].detach());
    nn::write_safetensors(options_.file, content);
  }

  void read_file() {
    const nn::SafeTensors content = nn::read_safetensors(options_.file);
    const auto mark = content.metadata.find("tessera.shared_weights");
    if (mark == content.metadata.end() || mark->second != identity(problem_, options_)) {
      throw UsageError(fmt::format(
          "{}: holds no shared weights of this network, data, formats and training; choose another "
          "file, or remove it",
          options_.file));
    }
    const nn::TensorMap tensors(content.tensors.begin(), content.tensors.end());
    const torch::NoGradGuard no_grad;
    const std::vector<nn::Tensor> parameters = net_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto found = tensors.find(parameter_name(i));
      if (found == tensors.end() || found->second.sizes() != parameters[i].sizes())
        throw IoError(fmt::format("{}: '{}' is missing or has another shape", options_.file,
                                  parameter_name(i)));
      parameters[i].copy_(found->second);
    }
  }

  const Problem& problem_;
  SharedWeightsOptions options_;
  nn::Split images_;
  Supernet net_;
  nn::Trainer trainer_;
  std::vector<Choice> uniform_;
  std::vector<std::pair<std::int64_t, double>> losses_;
};

class ShortTraining final : public AccuracyModel {
 public:
  ShortTraining(const Problem& problem, const ShortTrainingOptions& options)
      : problem_(problem),
        options_(options),
        images_(nn::take(problem.data.validation, options.images)) {}

  bool prepare(Observer&, double) override { return true; }

  plan::Accuracy measure(const Choice& choice) override {
    nn::MappedNetwork mapped(problem_.network, assignment_of(problem_.space, choice),
                             problem_.model.platform(), problem_.ranges);
    // The same batches for every candidate.
    const Rng rng = problem_.rng.split("short training");
    nn::Trainer trainer(mapped.trained(), problem_.data, problem_.preprocessing, options_.training,
                        rng.split("data"), &problem_.network);
    mapped.train(trainer, rng, [](const nn::Trainer&, const nn::Tensor&) { return true; });
    nn::ChipPlan plan = problem_.evaluation.chips;
    plan.seconds.resize(1);
    return mapped.measure(images_, problem_.preprocessing, plan, problem_.rng.split("evaluation"))
        .front();
  }

  std::int64_t training_samples(std::int64_t measured) const override {
    return measured * options_.training.steps * options_.training.batch;
  }
  const nn::Network& network() const override { return problem_.network; }
  nn::TensorMap kernel_state() const override {
    return Supernet(problem_.network, problem_.space, problem_.model.platform(), problem_.ranges)
        .kernel_state();
  }

 private:
  const Problem& problem_;
  ShortTrainingOptions options_;
  nn::Split images_;
};

}  // namespace

std::unique_ptr<AccuracyModel> make_shared_weights(const Problem& problem,
                                                   const SharedWeightsOptions& options) {
  return std::make_unique<SharedWeights>(problem, options);
}

std::unique_ptr<AccuracyModel> make_short_training(const Problem& problem,
                                                   const ShortTrainingOptions& options) {
  return std::make_unique<ShortTraining>(problem, options);
}

}  // namespace tessera::supernet
