// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "tessera/nn/data/dataset.h"

namespace tessera::nn::detail {

// What a reader finds in its files; `test.name` and so on are set by it.
struct RawData {
  Split train;
  Split test;
  bool is_images = true;
  std::vector<std::string> input_names = {};
};

// MNIST's format: {train,t10k}-{images-idx3,labels-idx1}-ubyte, each plain or with .gz.
RawData read_idx(const std::filesystem::path& folder);
// CIFAR-10's binary version: data_batch_{1..5}.bin and test_batch.bin.
RawData read_cifar10(const std::filesystem::path& folder);
// Arrays x_train, y_train, x_test, y_test: images uint8 [n,C,H,W], [n,H,W] or, with 1 or 3
// channels, [n,H,W,C], or any other numbers [n,...]; labels integers [n], [n,1] or [n,...]. For a
// network with several inputs, NAME_train and NAME_test of each in place of x.
RawData read_npz_data(const std::filesystem::path& file);

}  // namespace tessera::nn::detail
