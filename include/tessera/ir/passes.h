// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Every pass takes a verified graph with shapes and returns one; outputs keep their values
// (fold_batch_norm up to rounding), node names survive.

// Folds γ/√(var+ε), in float32, into the weights and bias of the Conv or Linear before it; a
// BatchNorm without such a producer, or whose producer has other readers, stays.
Graph fold_batch_norm(Graph graph);
// Evaluates nodes whose inputs are all constants (Identity of weights and so on).
Graph fold_constants(Graph graph);
// Removes Identity nodes, nodes and values that no output needs.
Graph remove_dead(Graph graph);
// The three above in order, verified after each: what import and training start from.
Graph canonicalize(Graph graph);

// A digest of what the network computes: operators, attributes, wiring, shapes (without batch) and
// constants' bits of the canonicalized graph, in an order that does not depend on names or on how
// nodes were listed.
std::string canonical_hash(const Graph& graph);

}  // namespace tessera::ir
