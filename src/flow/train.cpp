// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/train.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/core/progress.h"
#include "tessera/flow/architectures.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/version.h"
#include "tessera/ir/passes.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/nn/train/evaluate.h"
#include "tessera/nn/train/trainer.h"
#include "tessera/onnx/export.h"
#include "tessera/report/event_file.h"

namespace tessera::flow {
namespace {

constexpr std::string_view kCheckpoint = "train";

ir::Graph starting_graph(const TrainSettings& settings, const nn::Dataset& data) {
  const auto names = architecture_names();
  const bool is_file =
      settings.network.ends_with(".onnx") || settings.network.find('/') != std::string::npos;
  if (is_file)
    return load_network(settings.network).graph;
  if (!data.is_images)
    throw UsageError(
        fmt::format("data '{}' has no images, which {} needs", data.spec, settings.network));
  const auto images = data.train.images.sizes();
  return make_architecture(settings.network, {1, images[1], images[2], images[3]}, data.classes,
                           Rng(settings.seed).split("weights"));
}

std::string fingerprint(const TrainSettings& s, const nn::Dataset& data, const ir::Graph& graph) {
  Sha256 hash;
  hash.add(version())
      .add(fmt::format("{} {} {} {} {} {} {}", s.seed, s.device, s.epochs, s.batch, s.learning_rate,
                       s.weight_decay, s.label_smoothing))
      .add(data.sha256)
      .add(ir::canonical_hash(graph));
  return hash.hex();
}

}  // namespace

TrainResult train_network(const TrainSettings& settings) {
  const torch::Device device =
      nn::set_up_torch({.threads = settings.threads, .device = settings.device});
  nn::Dataset data = nn::load_dataset(settings.data, settings.seed);
  const ir::Graph start = starting_graph(settings, data);
  fit_data(start, data, settings.network);
  if (settings.batch > data.train.size()) {
    throw UsageError(fmt::format("batch: found {}; allowed: at most the {} training images",
                                 settings.batch, data.train.size()));
  }
  const nn::Preprocessing preprocessing = nn::choose_preprocessing(start, data);
  const RunFolder folder(settings.out.string() + ".checkpoint", fingerprint(settings, data, start));
  move_to(data, device);
  nn::Network network(start, device);

  const std::int64_t steps = settings.epochs * (data.train.size() / settings.batch);
  nn::Trainer trainer({network.parameters()}, data, preprocessing,
                      {.steps = steps,
                       .batch = settings.batch,
                       .learning_rate = settings.learning_rate,
                       .weight_decay = settings.weight_decay,
                       .label_smoothing = settings.label_smoothing},
                      Rng(settings.seed).split("train"), nullptr);
  nlohmann::json losses = nlohmann::json::array();  // [step, loss]
  // Running statistics are state, too, though no gradient changes them.
  const auto save = [&] {
    nn::TensorMap state = trainer.state();
    for (const auto& [name, tensor] : network.named_state())
      state["batchnorm." + name] = tensor.detach().clone();
    folder.save(kCheckpoint, {.tensors = std::move(state), .json = losses.dump()});
    std::vector<plan::TracePoint> points;
    for (const auto& row : losses)
      points.push_back({"train", row.at(0), "loss", row.at(1)});
    write_atomic(folder.path() / report::kEventFile, report::event_file(points));
  };
  if (const auto checkpoint = folder.load(kCheckpoint)) {
    trainer.restore(checkpoint->tensors);
    losses = nlohmann::json::parse(checkpoint->json);
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : network.named_state()) {
      tensor.copy_(checkpoint->tensors.at("batchnorm." + name));
    }
  }

  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  auto last_save = begin;
  const auto elapsed = [&](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  const std::int64_t first_step = trainer.steps_done();
  Progress progress(1);
  progress.start_phase("training", 1);
  nn::FloatRunner runner;
  network.set_training(true);
  TrainResult result;
  while (!trainer.done() && !interrupted()) {
    const torch::Tensor loss = trainer.recorded_step([&](const nn::Batch& batch) {
      const torch::Tensor value = trainer.loss(network.forward(batch.inputs, runner), batch);
      value.backward();
      return value.detach();
    });
    if (trainer.steps_done() % 50 == 0) {
      const double value = nn::checked_loss(trainer, loss);
      losses.push_back({trainer.steps_done(), value});
      progress.set_note(fmt::format("loss {:.3f}", value));
    }
    progress.update(static_cast<double>(trainer.steps_done()) / static_cast<double>(steps));
    if (elapsed(last_save) > 10) {
      save();
      last_save = Clock::now();
    }
  }
  save();
  progress.finish();
  network.set_training(false);
  result.seconds = elapsed(begin);
  result.images_per_second =
      static_cast<double>((trainer.steps_done() - first_step) * settings.batch) /
      std::max(result.seconds, 1e-9);
  result.interrupted = !trainer.done();
  if (result.interrupted)
    return result;

  ir::Graph trained = ir::canonicalize(network.to_graph());
  note_preprocessing(trained, preprocessing);
  onnx::export_onnx(trained, {}, settings.out);
  // What is reported is measured on what was written, batch normalization folded.
  const nn::Network folded(trained, device);
  result.validation_accuracy = nn::accuracy(folded, runner, data.validation, preprocessing);
  result.test_accuracy = nn::accuracy(folded, runner, data.test, preprocessing);
  return result;
}

}  // namespace tessera::flow
