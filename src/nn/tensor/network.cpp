// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/network.h"

#include <algorithm>
#include <array>

#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/tensor/generic.h"

#include "kernels.h"

namespace tessera::nn {

namespace {

// PyTorch's default: running = 0.9 running + 0.1 batch.
constexpr double kBatchNormMomentum = 0.1;

constexpr std::array<const char*, 4> kBatchNormState{"gamma", "beta", "running_mean",
                                                     "running_var"};

// Images with their channels innermost in memory where that is faster: for oneDNN's inference (two
// cores with AVX2, batch 250: ResNet20 1270 instead of 1040 images/s, MobileNetV2 218 instead of
// 118, training no faster), and for training on a GPU, whose tensor cores read operands so. Strides
// are set outright, since with one channel both layouts count as the same and the layers behind
// would take the other.
Tensor channels_innermost(const Tensor& x) {
  if (x.dim() != 4 || x.is_cpu() == torch::GradMode::is_enabled())
    return x;
  const std::int64_t c = x.size(1), h = x.size(2), w = x.size(3);
  return x.contiguous(torch::MemoryFormat::ChannelsLast)
      .as_strided(x.sizes(), {c * h * w, 1, w * c, c});
}

// Floats of any width become float32.
Tensor load_constant(const ir::Tensor& constant, torch::Device device) {
  const Tensor tensor = to_torch(constant, device);
  return tensor.is_floating_point() ? tensor.to(torch::kFloat32) : tensor;
}

// What a node needs beyond the operator: which layer it is, if it is one.
struct Step {
  std::optional<std::size_t> layer;
  bool batch_norm = false;
  std::vector<ir::ValueId> dead_after;  // activations that no later node reads
};

}  // namespace

struct Network::Impl {
  ir::Graph graph;
  ir::Workload workload;
  torch::Device device{torch::kCPU};
  std::vector<Step> steps;        // one per node
  std::vector<Tensor> constants;  // by value; undefined for activations
  std::vector<LayerParameters> layers;
  bool training = false;

  const Tensor& constant(ir::ValueId id) const { return constants.at(id.index()); }

  void load_constants();
  void find_layers();
  void find_last_uses();
  std::vector<Tensor> run_node(std::size_t index, const std::vector<Tensor>& inputs,
                               LayerRunner& runner) const;
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, LayerRunner& runner) const;
  std::int64_t runs_for(const std::vector<Tensor>& inputs) const;
};

void Network::Impl::load_constants() {
  constants.resize(graph.values().size());
  for (std::size_t i = 0; i < constants.size(); ++i) {
    const auto& constant = graph.values()[i].constant;
    if (constant)
      constants[i] = load_constant(*constant, device);
  }
}

void Network::Impl::find_layers() {
  steps.resize(graph.nodes().size());
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    const ir::NodeId id = workload.layers[i].node;
    const ir::Node& node = graph.node(id);
    steps.at(id.index()).layer = i;
    // Layers that share a constant share the tensor, and train it together.
    LayerParameters parameters{.weight = constant(node.inputs.at(1)), .bias = {}};
    TESSERA_CHECK(parameters.weight.defined(), "layer {} has no constant weights", node.name);
    parameters.weight.requires_grad_(true);
    if (node.inputs.size() > 2) {
      parameters.bias = constant(node.inputs[2]);
      TESSERA_CHECK(parameters.bias.defined(), "layer {} has no constant bias", node.name);
      parameters.bias.requires_grad_(true);
    }
    layers.push_back(std::move(parameters));
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ir::Node& node = graph.nodes()[i];
    steps[i].batch_norm = std::holds_alternative<ir::BatchNorm>(node.op);
    if (!steps[i].batch_norm)
      continue;
    for (std::size_t k = 1; k <= kBatchNormState.size(); ++k) {
      const Tensor& state = constant(node.inputs.at(k));
      TESSERA_CHECK(state.defined(), "{}: {} is not constant", node.name, kBatchNormState[k - 1]);
      state.requires_grad_(k <= 2);
    }
  }
}

void Network::Impl::find_last_uses() {
  std::vector<bool> needed(graph.values().size(), false);
  for (const ir::ValueId output : graph.outputs)
    needed[output.index()] = true;
  for (std::size_t i = steps.size(); i-- > 0;) {
    for (const ir::ValueId input : graph.nodes()[i].inputs) {
      if (!needed[input.index()] && !constant(input).defined())
        steps[i].dead_after.push_back(input);
      needed[input.index()] = true;
    }
  }
}

std::vector<Tensor> Network::Impl::run_node(std::size_t index, const std::vector<Tensor>& inputs,
                                            LayerRunner& runner) const {
  const ir::Node& node = graph.nodes()[index];
  const Step& step = steps[index];
  if (step.layer) {
    const LayerParameters& parameters = layers[*step.layer];
    return {runner.run({.layer = *step.layer,
                        .op = node.op,
                        .x = inputs[0],
                        .weight = parameters.weight,
                        .bias = parameters.bias})};
  }
  if (step.batch_norm) {
    return {torch::batch_norm(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], training,
                              kBatchNormMomentum, std::get<ir::BatchNorm>(node.op).epsilon,
                              /*cudnn_enabled=*/true)};
  }
  if (std::holds_alternative<ir::Generic>(node.op))
    return run_generic(graph, node, inputs);
  return {apply_glue(node.op, inputs)};
}

std::vector<Tensor> Network::Impl::run(const std::vector<Tensor>& inputs,
                                       LayerRunner& runner) const {
  std::vector<Tensor> values = constants;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    values[graph.inputs[i].index()] = channels_innermost(inputs[i]);

  std::vector<Tensor> arguments;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ir::Node& node = graph.nodes()[i];
    arguments.clear();
    for (const ir::ValueId input : node.inputs)
      arguments.push_back(values[input.index()]);
    std::vector<Tensor> made = run_node(i, arguments, runner);
    for (std::size_t k = 0; k < node.outputs.size(); ++k)
      values[node.outputs[k].index()] = std::move(made[k]);
    for (const ir::ValueId dead : steps[i].dead_after)
      values[dead.index()].reset();
  }

  std::vector<Tensor> outputs;
  for (const ir::ValueId output : graph.outputs)
    outputs.push_back(values[output.index()]);
  return outputs;
}

// How often a graph of fixed sizes must run for all that the inputs hold along their outermost
// dimension.
std::int64_t Network::Impl::runs_for(const std::vector<Tensor>& inputs) const {
  std::optional<std::int64_t> runs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& value = graph.value(graph.inputs[i]);
    const bool sized = value.shape->empty() ? inputs[i].dim() == 0 : inputs[i].dim() > 0;
    TESSERA_CHECK(sized, "input '{}' has {} dimensions", value.name, inputs[i].dim());
    const std::int64_t one =
        value.shape->empty() ? 1 : std::max<std::int64_t>((*value.shape)[0], 1);
    const std::int64_t given = value.shape->empty() ? 1 : inputs[i].size(0);
    const std::int64_t needed = std::max<std::int64_t>((given + one - 1) / one, 1);
    if (runs.value_or(needed) != needed)
      throw UnsupportedError(fmt::format("input '{}' holds {} runs of the network, another one {}",
                                         value.name, needed, *runs));
    runs = needed;
  }
  return runs.value_or(1);
}

LayerParameters load_parameters(const ir::Graph& graph, const ir::Layer& layer) {
  const ir::Node& node = graph.node(layer.node);
  const auto load = [&](std::size_t input) {
    const auto& constant = graph.value(node.inputs.at(input)).constant;
    TESSERA_CHECK(constant.has_value(), "layer {}: input {} is not constant", node.name, input);
    return load_constant(*constant, torch::kCPU);
  };
  return {.weight = load(1), .bias = node.inputs.size() > 2 ? load(2) : Tensor()};
}

Network::Network(ir::Graph graph, torch::Device device) : impl_(std::make_unique<Impl>()) {
  impl_->workload = ir::workload(graph);
  impl_->graph = std::move(graph);
  impl_->device = device;
  impl_->load_constants();
  impl_->find_layers();
  impl_->find_last_uses();
}

Network::~Network() = default;
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;

const ir::Graph& Network::graph() const {
  return impl_->graph;
}
const ir::Workload& Network::workload() const {
  return impl_->workload;
}
torch::Device Network::device() const {
  return impl_->device;
}
std::vector<LayerParameters>& Network::layers() {
  return impl_->layers;
}
const std::vector<LayerParameters>& Network::layers() const {
  return impl_->layers;
}
void Network::set_training(bool training) {
  impl_->training = training;
}

Tensor Network::forward(const std::vector<Tensor>& inputs, LayerRunner& runner) const {
  const std::vector<Tensor> outputs = forward_all(inputs, runner);
  const bool alike = std::all_of(outputs.begin(), outputs.end(), [&](const Tensor& output) {
    return output.sizes() == outputs.front().sizes();
  });
  return outputs.size() > 1 && alike ? torch::stack(outputs, -1) : outputs.front();
}

std::vector<Tensor> Network::forward_all(const std::vector<Tensor>& inputs,
                                         LayerRunner& runner) const {
  const ir::Graph& graph = impl_->graph;
  TESSERA_CHECK(inputs.size() == graph.inputs.size(), "{} inputs given, the graph has {}",
                inputs.size(), graph.inputs.size());
  const std::int64_t runs = graph.batched ? 1 : impl_->runs_for(inputs);
  if (runs == 1)
    return impl_->run(inputs, runner);
  // Sizes are fixed: one run after the other; the last one repeats the last entry to fill up.
  std::vector<std::vector<Tensor>> outputs(graph.outputs.size());
  for (std::int64_t run = 0; run < runs; ++run) {
    std::vector<Tensor> part;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::int64_t size = graph.value(graph.inputs[i]).shape->at(0);
      const Tensor index = torch::clamp_max(
          torch::arange(run * size, (run + 1) * size, inputs[i].device()), inputs[i].size(0) - 1);
      part.push_back(inputs[i].index_select(0, index));
    }
    const std::vector<Tensor> made = impl_->run(part, runner);
    for (std::size_t i = 0; i < made.size(); ++i)
      outputs[i].push_back(made[i]);
  }
  std::vector<Tensor> joined;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ir::Value& first = graph.value(graph.inputs[0]);
    const std::int64_t rows =
        inputs[0].size(0) * outputs[i][0].size(0) / std::max<std::int64_t>(first.shape->at(0), 1);
    joined.push_back(torch::cat(outputs[i], 0).slice(0, 0, rows));
  }
  return joined;
}

std::vector<Tensor> Network::parameters() const {
  std::vector<Tensor> result;
  const auto add = [&](const Tensor& tensor) {
    const bool seen = std::any_of(result.begin(), result.end(),
                                  [&](const Tensor& other) { return other.is_same(tensor); });
    if (tensor.defined() && !seen)
      result.push_back(tensor);
  };
  for (const LayerParameters& layer : impl_->layers) {
    add(layer.weight);
    add(layer.bias);
  }
  for (std::size_t i = 0; i < impl_->steps.size(); ++i) {
    if (impl_->steps[i].batch_norm) {
      add(impl_->constant(impl_->graph.nodes()[i].inputs[1]));
      add(impl_->constant(impl_->graph.nodes()[i].inputs[2]));
    }
  }
  return result;
}

std::vector<std::pair<std::string, Tensor>> Network::named_state() const {
  std::vector<std::pair<std::string, Tensor>> result;
  for (std::size_t i = 0; i < impl_->steps.size(); ++i) {
    const ir::Node& node = impl_->graph.nodes()[i];
    if (!impl_->steps[i].batch_norm)
      continue;
    for (std::size_t k = 0; k < kBatchNormState.size(); ++k)
      result.emplace_back(node.name + "/" + kBatchNormState[k],
                          impl_->constant(node.inputs[k + 1]));
  }
  return result;
}

ir::Graph Network::to_graph() const {
  ir::Graph result = impl_->graph;
  const auto store = [&](ir::ValueId id, const Tensor& tensor) {
    result.value(id).constant = from_torch(tensor);
    result.value(id).dtype = ir::DType::kFloat32;  // whatever the file stored
  };
  for (std::size_t i = 0; i < impl_->steps.size(); ++i) {
    const ir::Node& node = impl_->graph.nodes()[i];
    const Step& step = impl_->steps[i];
    if (step.layer) {
      const LayerParameters& parameters = impl_->layers[*step.layer];
      store(node.inputs[1], parameters.weight);
      if (parameters.bias.defined())
        store(node.inputs[2], parameters.bias);
    } else if (step.batch_norm) {
      for (std::size_t k = 1; k <= kBatchNormState.size(); ++k)
        store(node.inputs[k], impl_->constant(node.inputs[k]));
    }
  }
  return result;
}

Network Network::clone() const {
  Network copy(to_graph(), impl_->device);
  copy.impl_->training = impl_->training;
  return copy;
}

}  // namespace tessera::nn
