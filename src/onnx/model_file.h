// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "tessera_onnx.pb.h"

namespace tessera::onnx {

namespace pb = ::tessera_onnx;

// Parses a file and checks that it is an ONNX model with a graph and a default opset. Throws
// IoError or ImportError.
pb::ModelProto read_model(const std::filesystem::path& path);

// The opset of the default domain; read_model() has checked that it is there.
int default_opset(const pb::ModelProto& model);

}  // namespace tessera::onnx
