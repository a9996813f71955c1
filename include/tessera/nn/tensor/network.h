// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "tessera/ir/graph.h"
#include "tessera/ir/workload.h"

namespace tessera::nn {

using torch::Tensor;

// One layer as it is about to run. x is [N,C,H,W] (Conv) or [N,..,K] (Linear); bias may be
// undefined.
struct LayerCall {
  std::size_t layer = 0;  // index into Workload::layers
  const ir::Op& op;       // Conv or Linear
  const Tensor& x;
  const Tensor& weight;
  const Tensor& bias;
};

// Decides how layers compute; glue always computes in float32. One forward pass calls run() once
// per layer, in execution order.
class LayerRunner {
 public:
  virtual ~LayerRunner() = default;
  virtual Tensor run(const LayerCall& call) = 0;
};

// Float32 arithmetic: the network as it came.
class FloatRunner final : public LayerRunner {
 public:
  Tensor run(const LayerCall& call) override;
};

// conv2d or linear with the operator's attributes; asymmetric pads are padded first.
Tensor apply_layer(const ir::Op& op, const Tensor& x, const Tensor& weight, const Tensor& bias);

struct LayerParameters {
  Tensor weight;  // [M,C/G,R,S] or [M,K]
  Tensor bias;    // [M] or undefined
};

// Those of one layer as its graph has them, on the CPU. Throws IoError as ir::Tensor does.
LayerParameters load_parameters(const ir::Graph& graph, const ir::Layer& layer);

// A graph that runs on LibTorch. Weights and biases of layers are leaf tensors that a trainer may
// change in place; other constants are fixed, except BatchNorm's, which are trained too while
// is_training().
class Network {
 public:
  // Throws UnsupportedError that names the nodes that cannot run.
  Network(ir::Graph graph, torch::Device device);
  ~Network();
  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;

  const ir::Graph& graph() const;
  const ir::Workload& workload() const;
  torch::Device device() const;

  // [N, ...] with any N. A graph that is not batched runs as often as N needs, which is slow.
  // Several outputs of one shape are stacked along a last axis; of outputs that differ, the first
  // is returned.
  Tensor forward(const Tensor& x, LayerRunner& runner) const {
    return forward(std::vector<Tensor>{x}, runner);
  }
  Tensor forward(const std::vector<Tensor>& inputs, LayerRunner& runner) const;
  std::vector<Tensor> forward_all(const std::vector<Tensor>& inputs, LayerRunner& runner) const;

  std::vector<LayerParameters>& layers();
  const std::vector<LayerParameters>& layers() const;
  // All tensors that training changes: layers' first, then BatchNorm's γ and β.
  std::vector<Tensor> parameters() const;
  // γ, β, running mean and variance of BatchNorm nodes, by "node/name".
  std::vector<std::pair<std::string, Tensor>> named_state() const;
  void set_training(bool training);

  // The graph with the present parameters in place of its constants.
  ir::Graph to_graph() const;
  // A copy with parameters of its own.
  Network clone() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::nn
