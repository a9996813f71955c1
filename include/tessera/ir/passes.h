// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Every pass takes a verified graph with shapes and returns one; outputs keep their values
// (fuse_bias and fold_batch_norm up to rounding), names of nodes and values that stay survive.

// Evaluates nodes whose inputs are all constants (Identity of weights and so on).
Graph fold_constants(Graph graph);
// A constant added per output channel right after a Conv or Linear without bias becomes its bias.
Graph fuse_bias(Graph graph);
// Folds a BatchNorm into the Conv or Linear before it, in float32 and in this order (the order of
// PyTorch's exporters, so that their files and ours agree to the bit):
//   k = γ / √(var + ε),  W' = W · k,  b' = (b - mean) · k + β.
// A BatchNorm without such a producer, or whose producer has other readers, stays.
Graph fold_batch_norm(Graph graph);
// Mean and variance of every channel of a Conv's output.
struct ChannelMoments {
  NodeId conv;
  std::vector<double> mean, variance;
};
// The reverse of fold_batch_norm: a BatchNorm behind each of these Convs, whose statistics are the
// moments given and whose γ and β undo them. Weights are divided by the channel's standard
// deviation, so that what is normalized has about the same scale in every channel.
Graph insert_batch_norm(const Graph& graph, std::span<const ChannelMoments> moments);
// A Flatten or Reshape of what a Flatten or Reshape gives reads the first one's input.
Graph merge_reshapes(Graph graph);
// Removes Identity nodes, and nodes and values that no output needs. Inputs stay.
Graph remove_dead(Graph graph);
// The five above in order, verified after each: what training, cost and search start from.
Graph canonicalize(Graph graph);

// The output of an operator on constants: Unary and Binary on float32, Binary on int64, Identity,
// Flatten and Reshape of anything. None for what is not evaluated. `shape` is the output's.
std::optional<Tensor> evaluate(const Op& op, std::span<const Tensor> inputs, const Shape& shape);

// A digest of what the network computes: operators, attributes, wiring, shapes (without batch) and
// constants' bits of the canonicalized graph, in an order that does not depend on names or on how
// nodes were listed.
std::string canonical_hash(const Graph& graph);

}  // namespace tessera::ir
