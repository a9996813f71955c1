// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tessera/core/file.h"
#include "tessera/ir/tensor.h"

#include "model_file.h"

namespace tessera::onnx {

// "FLOAT16", or "type 99".
std::string onnx_type_name(int onnx_type);

// The files beside a model that hold tensors of it, each opened once.
class ExternalFiles {
 public:
  // The model's folder, which external data are in or below.
  explicit ExternalFiles(std::filesystem::path folder = {}) : folder_(std::move(folder)) {}

  // `size` bytes of the file and from the offset that the tensor names. Throws ImportError.
  FileRange find(const pb::TensorProto& proto, std::int64_t size);

 private:
  std::filesystem::path folder_;
  std::map<std::filesystem::path, std::shared_ptr<const FileReader>> open_;
};

// A tensor whose data are in `raw_data` where there is one, else in the message or the external
// file that it names. They stay in their file where it holds them as an ir::Tensor does, and are
// decoded otherwise. Throws ImportError that says what does not fit, to which the caller adds the
// place, or IoError.
ir::Tensor read_tensor(const pb::TensorProto& proto, ExternalFiles& files,
                       const std::optional<FileRange>& raw_data = std::nullopt);

}  // namespace tessera::onnx
