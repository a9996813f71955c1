// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "tessera/core/file.h"

#include "tessera_onnx.pb.h"

namespace tessera::onnx {

namespace pb = ::tessera_onnx;

// A model without the raw data of its graph's initializers: most of the bytes of most files, which
// stay there.
struct ModelFile {
  pb::ModelProto model;
  std::vector<std::optional<FileRange>> raw_data;  // by initializer; none for those without
};

// Parses a file and checks that it is an ONNX model with a graph and a default opset. Throws
// IoError or ImportError.
ModelFile read_model(const std::filesystem::path& path);

// The opset of the default domain; read_model() has checked that it is there.
int default_opset(const pb::ModelProto& model);

}  // namespace tessera::onnx
