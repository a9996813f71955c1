// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "tessera/ir/tensor.h"

namespace tessera::onnx {

// Inputs and the outputs that they should give, in the order of the network's.
struct TestData {
  std::filesystem::path folder;
  std::vector<ir::Tensor> inputs;
  std::vector<ir::Tensor> outputs;
};

// One tensor in a file of its own (TensorProto). Throws IoError, or ImportError for a file that is
// none.
ir::Tensor read_tensor_file(const std::filesystem::path& path);

// ONNX's own form of test cases: `folder` holds input_0.pb, input_1.pb …, output_0.pb …, or folders
// test_data_set_0, test_data_set_1 … that do. Throws ImportError when it holds neither.
std::vector<TestData> read_test_data(const std::filesystem::path& folder);

}  // namespace tessera::onnx
