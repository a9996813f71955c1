// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <torch/types.h>

#include "tessera/onnx/test_data.h"

namespace tessera::flow {

// The outputs of a network on the inputs of a test case, whose shapes and, where sizes depend on
// them, values it takes. Throws ImportError, UnsupportedError for operators that are not
// understood, UsageError when the number of inputs does not fit.
struct NamedOutput {
  std::string name;
  torch::Tensor value;  // on the CPU
};
std::vector<NamedOutput> run_test_data(const std::filesystem::path& network,
                                       const onnx::TestData& data, torch::Device device);

}  // namespace tessera::flow
