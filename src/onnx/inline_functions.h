// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model_file.h"

namespace tessera::onnx {

// Puts the bodies of the model's own functions (PyTorch's exporter writes them) in the place of the
// nodes that call them. Throws ImportError for functions that call themselves or grow beyond a
// million nodes. A call stays where the function was written for an opset before 13 that is not the
// model's: operators changed their meaning until then.
void inline_functions(pb::ModelProto& model);

}  // namespace tessera::onnx
