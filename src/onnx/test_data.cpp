// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/test_data.h"

#include <climits>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "model_file.h"
#include "read_tensor.h"

namespace tessera::onnx {
namespace {

std::vector<ir::Tensor> read_numbered(const std::filesystem::path& folder, const char* what) {
  std::vector<ir::Tensor> tensors;
  for (int i = 0;; ++i) {
    const std::filesystem::path path = folder / fmt::format("{}_{}.pb", what, i);
    if (!std::filesystem::exists(path))
      return tensors;
    tensors.push_back(read_tensor_file(path));
  }
}

}  // namespace

ir::Tensor read_tensor_file(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_bytes(path);
  pb::TensorProto proto;
  if (bytes.size() > INT_MAX || !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    throw ImportError(fmt::format("{}: not an ONNX tensor", path.string()));
  try {
    ExternalFiles files(path.parent_path());
    return read_tensor(proto, files);
  } catch (const ImportError& error) {
    throw ImportError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::vector<TestData> read_test_data(const std::filesystem::path& folder) {
  std::vector<TestData> sets;
  const auto add = [&](const std::filesystem::path& from) {
    TestData data{.folder = from,
                  .inputs = read_numbered(from, "input"),
                  .outputs = read_numbered(from, "output")};
    if (!data.outputs.empty())
      sets.push_back(std::move(data));
  };
  add(folder);
  for (int i = 0;; ++i) {
    const std::filesystem::path set = folder / fmt::format("test_data_set_{}", i);
    if (!std::filesystem::is_directory(set))
      break;
    add(set);
  }
  if (sets.empty())
    throw ImportError(fmt::format(
        "{}: no test data; allowed: output_0.pb in it or in its folders test_data_set_0, …",
        folder.string()));
  return sets;
}

}  // namespace tessera::onnx
