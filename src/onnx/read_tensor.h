// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "tessera/ir/tensor.h"

#include "model_file.h"

namespace tessera::onnx {

// "FLOAT16", or "type 99".
std::string onnx_type_name(int onnx_type);

// Decodes a tensor's data from raw bytes, typed fields or the external file that it names, relative
// to `folder`. Throws ImportError that says what does not fit; the caller adds the place.
ir::Tensor read_tensor(const pb::TensorProto& proto, const std::filesystem::path& folder);

}  // namespace tessera::onnx
