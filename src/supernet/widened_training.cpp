// SPDX-License-Identifier: Apache-2.0
#include "widened_training.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/ir/passes.h"
#include "tessera/nn/train/normalization.h"

namespace tessera::supernet {

std::optional<ir::Graph> train_widened(const ir::Graph& start, const Problem& problem,
                                       const nn::TrainingOptions& options,
                                       std::int64_t calibration_images, const Rng& rng,
                                       Observer& observer) {
  constexpr std::string_view kName = "float";
  const torch::Device device = problem.network.device();
  nn::Network network(nn::with_batch_norm(nn::Network(start, device), problem.data,
                                          problem.preprocessing, calibration_images),
                      device);
  nn::Trained trained{.parameters = network.parameters()};
  for (const auto& [name, tensor] : network.named_state()) {
    // Running statistics are state, too.
    const bool is_parameter = std::ranges::any_of(
        trained.parameters, [&](const nn::Tensor& parameter) { return parameter.is_same(tensor); });
    if (!is_parameter)
      trained.buffers.push_back(tensor);
  }
  nn::Trainer trainer(std::move(trained), problem.data, problem.preprocessing, options, rng,
                      nullptr);
  nlohmann::json losses = nlohmann::json::array();  // [step, loss]
  const auto note = [&](std::int64_t step, double loss) {
    losses.push_back({step, loss});
    observer.trace({"float", step, "loss", loss});
  };
  if (const auto checkpoint = observer.load(kName)) {
    trainer.restore(checkpoint->tensors);
    for (const auto& row : nlohmann::json::parse(checkpoint->json))
      note(row.at(0), row.at(1));
  }
  const auto save = [&] {
    observer.save(kName, {.tensors = trainer.state(), .json = losses.dump()});
  };

  nn::FloatRunner runner;
  network.set_training(true);
  while (!trainer.done() && observer.keep_going()) {
    const nn::Tensor loss = trainer.recorded_step([&](const nn::Batch& batch) {
      const nn::Tensor value = trainer.loss(network.forward(batch.inputs, runner), batch);
      value.backward();
      return value.detach();
    });
    const std::int64_t step = trainer.steps_done();
    if (step % 20 == 0)
      note(step, nn::checked_loss(trainer, loss));
    observer.progress(static_cast<double>(step) / static_cast<double>(options.steps),
                      "float training of the widened network");
    if (observer.checkpoint_due())
      save();
  }
  save();
  if (!trainer.done())
    return std::nullopt;
  network.set_training(false);
  return ir::canonicalize(network.to_graph());
}

}  // namespace tessera::supernet
