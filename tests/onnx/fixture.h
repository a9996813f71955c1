// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace tessera::onnx {

// The ONNX file made from fixtures/NAME.onnxtxt.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(TESSERA_ONNX_FIXTURES) / (name + ".onnx");
}

}  // namespace tessera::onnx
