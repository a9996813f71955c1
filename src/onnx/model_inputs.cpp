// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "tessera/onnx/import.h"

#include "model_file.h"

namespace tessera::onnx {

namespace {

std::vector<std::string> input_names(const pb::ModelProto& model) {
  std::set<std::string> constants;
  for (const auto& initializer : model.graph().initializer())
    constants.insert(initializer.name());
  std::vector<std::string> names;
  for (const auto& input : model.graph().input()) {
    if (!constants.contains(input.name()))
      names.push_back(input.name());
  }
  return names;
}

}  // namespace

std::vector<std::string> input_names(const std::filesystem::path& path) {
  return input_names(read_model(path).model);
}

std::vector<std::string> open_names(const std::filesystem::path& path) {
  const pb::ModelProto model = read_model(path).model;
  std::vector<std::string> names = input_names(model);
  std::set<std::string> dimensions;
  for (const auto& input : model.graph().input()) {
    for (const auto& dim : input.type().tensor_type().shape().dim()) {
      if (!dim.dim_param().empty())
        dimensions.insert(dim.dim_param());
    }
  }
  names.insert(names.end(), dimensions.begin(), dimensions.end());
  return names;
}

}  // namespace tessera::onnx
