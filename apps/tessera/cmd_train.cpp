// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tessera/core/progress.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/train.h"

#include "commands.h"

namespace tessera::cli {

Command add_train(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto settings = std::make_shared<flow::TrainSettings>();
  CLI::App* command =
      app.add_subcommand("train", "Train a network in float32 and write it as ONNX");
  command
      ->add_option("NETWORK", settings->network, "resnet8, resnet20, or an ONNX file to go on from")
      ->required();
  command->add_option("--data", settings->data, "fashion-mnist, cifar10:DIR, idx:DIR or npz:FILE")
      ->required();
  command->add_option("--out", settings->out, "ONNX file to write")->required();
  command->add_option("--epochs", settings->epochs, "Passes over the training images")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--batch", settings->batch, "Images per step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--learning-rate", settings->learning_rate, "At its peak")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--weight-decay", settings->weight_decay, "Of weights, not of biases")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--label-smoothing", settings->label_smoothing, "0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_common_options(*command, *common, {.seed = true, .runtime = true});
  return {
      command, common, [settings, common] {
        settings->seed = common->seed;
        settings->threads = common->runtime.threads;
        settings->device = common->runtime.device;
        flow::install_interrupt_handler();
        const flow::TrainResult result = flow::train_network(*settings);
        if (result.interrupted) {
          print_result("interrupted; run the same command again to go on\n");
          return static_cast<int>(kInterrupted);
        }
        if (common->json) {
          const nlohmann::ordered_json json{
              {"file", settings->out.string()},
              {"validation_top1", result.validation_accuracy},
              {"test_top1", result.test_accuracy},
              {"timing",
               {{"seconds", result.seconds}, {"images_per_second", result.images_per_second}}}};
          print_json(json);
        } else {
          print_result(fmt::format(
              "{}\nvalidation top-1 {:.2f} %, test top-1 {:.2f} %\n{}, {:.0f} images/s\n",
              settings->out.string(), 100 * result.validation_accuracy, 100 * result.test_accuracy,
              format_duration(result.seconds), result.images_per_second));
        }
        return static_cast<int>(kDone);
      }};
}

}  // namespace tessera::cli
