// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tessera::flow {

struct TrainSettings {
  std::string network;  // an architecture's name, or an ONNX file to continue from
  std::string data;
  std::filesystem::path
      out;  // the ONNX file to write; checkpoints stand in OUT.checkpoint/ while it runs
  std::uint64_t seed = 1;
  int threads = 0;
  std::string device = "cpu";
  std::int64_t epochs = 30;
  std::int64_t batch = 128;
  double learning_rate = 0.1;  // peak; linear warm-up, then cosine
  double weight_decay = 5e-4;
  double label_smoothing = 0.0;
};

struct TrainResult {
  double validation_accuracy = 0;
  double test_accuracy = 0;  // of the last epoch's weights; never used to choose anything
  double seconds = 0;
  double images_per_second = 0;
  bool interrupted = false;  // continue by running the same again
};

// Trains in float32 with SGD (Nesterov momentum), random crops and flips, folds batch normalization
// and writes the network with its preprocessing in the metadata. Continues a run that was killed.
// Throws UsageError.
TrainResult train_network(const TrainSettings& settings);

}  // namespace tessera::flow
