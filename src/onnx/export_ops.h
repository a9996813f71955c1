// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "model_writer.h"

namespace tessera::onnx {

// Writes a node of the graph whose inputs go by these names. A Linear's weights must stand as
// linear_weights_by_rows() says.
void write_node(ModelWriter& writer, const ir::Node& node, std::vector<std::string> inputs);

// A Linear over a matrix becomes Gemm, which takes weights [M,K] as they are; one over more
// dimensions becomes MatMul, which takes them transposed, [K,M].
bool linear_weights_by_rows(const ir::Graph& graph, const ir::Node& linear);

// [M,K] to [K,M], any type.
ir::Tensor transposed_matrix(const ir::Tensor& matrix);

}  // namespace tessera::onnx
