// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include "tessera/core/file.h"

#include "tessera_onnx.pb.h"

namespace tessera::onnx {

// The ONNX file made from fixtures/NAME.onnxtxt.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(TESSERA_ONNX_FIXTURES) / (name + ".onnx");
}

// A model with all that its file holds.
inline tessera_onnx::ModelProto whole_model(const std::filesystem::path& path) {
  tessera_onnx::ModelProto model;
  if (!model.ParseFromString(read_text(path)))
    throw std::runtime_error("no model: " + path.string());
  return model;
}

}  // namespace tessera::onnx
