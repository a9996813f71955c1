// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Sizes of one layer as a loop nest sees it, Timeloop's letters, per image (N = 1): output [M,P,Q],
// input [C,H,W], kernel R×S, G groups. A Linear has P = rows of x, Q = R = S = 1.
struct LayerDims {
  std::int64_t C = 1, M = 1, R = 1, S = 1, P = 1, Q = 1, G = 1;
  std::int64_t H = 1, W = 1;  // of the input, without padding
  bool operator==(const LayerDims&) const = default;
};

// A weight-bearing operation that a mapping assigns to units.
struct Layer {
  NodeId node;
  std::string name;
  std::string op;  // "Conv", "Gemm"
  LayerDims dims;
  std::int64_t macs = 0;     // per image, bias excluded: M·(C/G)·R·S·P·Q
  std::int64_t weights = 0;  // M·(C/G)·R·S
  std::int64_t bias = 0;     // M or 0
  std::int64_t input_elements = 0;
  std::int64_t output_elements = 0;
  // MVMs of an analog tile per image: P·Q.
  std::int64_t positions() const { return dims.P * dims.Q; }
  bool operator==(const Layer&) const = default;
};

// Any other operation: no weights to place, but its work and traffic cost something.
struct Glue {
  NodeId node;
  std::string name;
  std::string op;
  std::int64_t operations = 0;      // element operations per image; 0 for pure reshapes
  std::int64_t input_elements = 0;  // activations read, all inputs
  std::int64_t output_elements = 0;
  bool operator==(const Glue&) const = default;
};

// An activation that one operation hands to another; index -1 is the network's input (as a
// producer) or its output (as a consumer).
struct Edge {
  int producer = -1;  // index into Workload::order
  int consumer = -1;
  std::int64_t elements = 0;
  bool operator==(const Edge&) const = default;
};

// One step of the network in execution order: a layer or glue, by index into the list of its kind.
struct Step {
  bool is_layer = false;
  int index = 0;
  bool operator==(const Step&) const = default;
};

// What a cost model needs to know of a network: sizes, no tensors.
struct Workload {
  std::vector<Layer> layers;
  std::vector<Glue> glue;
  std::vector<Step> order;
  std::vector<Edge> edges;
  std::int64_t macs = 0;
  std::int64_t params = 0;  // weights and biases of layers, and other float constants

  bool operator==(const Workload&) const = default;
};

// Throws UnsupportedError that names every node that is not understood, and an input whose size is
// not fixed.
Workload workload(const Graph& graph);

// The part of the network whose operators and shapes are known, for looking at a network that
// cannot run: the same as workload() where that does not throw.
Workload understood_workload(const Graph& graph);
// "LSTM at '/rnn/LSTM': operator not supported", in order; empty when all are understood.
std::vector<std::string> unknown_operators(const Graph& graph);
// Names of understood nodes whose sizes are unknown, since they stand behind one that is not
// understood or behind an input of unknown size.
std::vector<std::string> unsized_nodes(const Graph& graph);

}  // namespace tessera::ir
