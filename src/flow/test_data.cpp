// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/test_data.h"

#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/ir/passes.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/tensor/generic.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/onnx/import.h"

namespace tessera::flow {

std::vector<NamedOutput> run_test_data(const std::filesystem::path& network,
                                       const onnx::TestData& data, torch::Device device) {
  const std::vector<std::string> names = onnx::input_names(network);
  if (names.size() != data.inputs.size())
    throw UsageError(fmt::format("{}: {} inputs, the network {} has {}", data.folder.string(),
                                 data.inputs.size(), network.string(), names.size()));
  onnx::ImportOptions options{.evaluate = nn::evaluate};
  for (std::size_t i = 0; i < names.size(); ++i) {
    options.shapes[names[i]] = data.inputs[i].shape();
    options.values[names[i]] = data.inputs[i];
  }
  const nn::Network runnable(ir::canonicalize(onnx::import_onnx(network, options)), device);
  const ir::Graph& graph = runnable.graph();
  const torch::InferenceMode inference;
  std::vector<torch::Tensor> inputs;
  for (const ir::ValueId input : graph.inputs)
    inputs.push_back(nn::to_torch(options.values.at(graph.value(input).name), device));
  nn::FloatRunner runner;
  const std::vector<torch::Tensor> made = runnable.forward_all(inputs, runner);
  if (made.size() < data.outputs.size())
    throw UsageError(fmt::format("{}: {} outputs, the network {} has {}", data.folder.string(),
                                 data.outputs.size(), network.string(), made.size()));
  std::vector<NamedOutput> outputs;
  for (std::size_t i = 0; i < made.size(); ++i)
    outputs.push_back({graph.value(graph.outputs[i]).name, made[i].cpu()});
  return outputs;
}

}  // namespace tessera::flow
