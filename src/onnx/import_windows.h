// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import_ops.h"

namespace tessera::onnx {

// Throw NotUnderstood for an input that is no NxCxHxW, and for a constant that holds no floats.
void require_image(const NodeReader& node);
void require_floats(const NodeReader& node, const ir::Tensor& tensor, std::string_view what);

// Readers of operators whose windows slide over an image.
std::vector<ImportStep> read_conv(NodeReader& node);
std::vector<ImportStep> read_conv_transpose(NodeReader& node);
std::vector<ImportStep> read_max_pool(NodeReader& node);
std::vector<ImportStep> read_average_pool(NodeReader& node);

}  // namespace tessera::onnx
