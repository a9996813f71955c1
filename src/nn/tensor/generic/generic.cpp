// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/generic.h"

#include <array>
#include <unordered_map>

#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/tensor/bridge.h"

#include "kernel.h"

namespace tessera::nn {
namespace {

const GenericKernel& find_kernel(const ir::Generic& op) {
  static const std::unordered_map<std::string, const GenericKernel*> kByName = [] {
    std::unordered_map<std::string, const GenericKernel*> map;
    for (const auto kernels :
         {elementwise_kernels(), movement_kernels(), reduction_kernels(), product_kernels(),
          image_kernels(), quantized_kernels(), sequence_kernels()}) {
      for (const GenericKernel& kernel : kernels)
        map.emplace(fmt::format("{}.{}", kernel.domain, kernel.type), &kernel);
    }
    return map;
  }();
  const auto found = kByName.find(fmt::format("{}.{}", op.domain, op.type));
  TESSERA_CHECK(found != kByName.end(), "no kernel for {}", op.type);
  return *found->second;
}

}  // namespace

std::vector<std::int64_t> KernelCall::values(int position) const {
  const Tensor list = in(position).to(torch::kCPU, torch::kInt64).contiguous();
  return {list.data_ptr<std::int64_t>(), list.data_ptr<std::int64_t>() + list.numel()};
}

std::optional<std::vector<std::int64_t>> KernelCall::list(const char* name, int position) const {
  if (ir::has_attribute(op, name))
    return ir::integers(op, name, {});
  if (has(position))
    return values(position);
  return std::nullopt;
}

torch::ScalarType KernelCall::output_type(std::size_t output) const {
  return torch_type(graph.value(node.outputs.at(output)).dtype);
}

std::vector<Tensor> run_generic(const ir::Graph& graph, const ir::Node& node,
                                const std::vector<Tensor>& inputs) {
  const auto& op = std::get<ir::Generic>(node.op);
  try {
    std::vector<Tensor> outputs = find_kernel(op).run(KernelCall(graph, node, inputs));
    TESSERA_CHECK(outputs.size() >= node.outputs.size(), "{}: {} outputs, wanted: {}", op.type,
                  outputs.size(), node.outputs.size());
    return outputs;
  } catch (const c10::Error& error) {
    throw UnsupportedError(fmt::format("node '{}' ({}) cannot run on these values: {}", node.name,
                                       op.type, error.what_without_backtrace()));
  }
}

std::vector<ir::Tensor> evaluate(const ir::Graph& graph, const ir::Node& node) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> inputs;
  for (const ir::ValueId id : node.inputs)
    inputs.push_back(to_torch(*graph.value(id).constant));
  std::vector<ir::Tensor> outputs;
  for (const Tensor& output : run_generic(graph, node, inputs))
    outputs.push_back(output.defined() ? from_torch(output) : ir::Tensor());
  return outputs;
}

}  // namespace tessera::nn
