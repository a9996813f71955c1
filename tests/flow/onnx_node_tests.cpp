// SPDX-License-Identifier: Apache-2.0
// Runs ONNX's own test cases, one line of CSV for each: test, opset, operators, result, detail.
//
//   onnx_node_tests FOLDER…
//
// Results: "passed"; "unsupported" with what is not understood; "differs"; "error" with a message.
// A case that takes longer than a minute ends the program, and so does a crash.
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/flow/test_data.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/onnx/test_data.h"

#include "onnx/model_file.h"

namespace {

using namespace tessera;

struct Result {
  std::string what, detail;
};

// The tolerance of ONNX's own test runner.
bool agrees(const torch::Tensor& actual, const torch::Tensor& expected) {
  return actual.sizes() == expected.sizes() &&
         torch::allclose(actual.to(torch::kFloat64), expected.to(torch::kFloat64), 1e-3, 1e-7,
                         /*equal_nan=*/true);
}

Result run(const std::filesystem::path& folder) {
  try {
    for (const onnx::TestData& data : onnx::read_test_data(folder)) {
      const auto outputs = flow::run_test_data(folder / "model.onnx", data, torch::kCPU);
      for (std::size_t i = 0; i < data.outputs.size(); ++i) {
        const torch::Tensor expected = nn::to_torch(data.outputs[i]);
        if (outputs[i].value.scalar_type() != expected.scalar_type())
          return {"differs", fmt::format("output {} has another type", i)};
        if (!agrees(outputs[i].value, expected))
          return {"differs", fmt::format("output {}", i)};
      }
    }
    return {"passed", ""};
  } catch (const UnsupportedError& error) {
    return {"unsupported", error.what()};
  } catch (const ImportError& error) {
    return {"error", error.what()};
  } catch (const Error& error) {
    return {"error", error.what()};
  }
}

std::string quoted(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  std::ranges::replace(text, '"', '\'');
  return '"' + text + '"';
}

}  // namespace

int main(int argc, char** argv) {
  nn::set_up_torch({.threads = 1});
  std::puts("test,opset,operators,result,detail");
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> cases;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (std::filesystem::exists(entry.path() / "model.onnx"))
        cases.push_back(entry.path());
    }
    std::ranges::sort(cases);
    for (const auto& folder : cases) {
      alarm(60);
      std::set<std::string> operators;
      int opset = 0;
      Result result;
      try {
        const auto model = onnx::read_model(folder / "model.onnx").model;
        opset = onnx::default_opset(model);
        for (const auto& node : model.graph().node())
          operators.insert(node.domain().empty() ? node.op_type()
                                                 : node.domain() + "." + node.op_type());
        result = run(folder);
      } catch (const Error& error) {
        result = {"error", error.what()};
      }
      fmt::print("{},{},{},{},{}\n", folder.filename().string(), opset, fmt::join(operators, " "),
                 result.what, quoted(result.detail));
      std::fflush(stdout);
    }
  }
}
