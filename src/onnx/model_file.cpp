// SPDX-License-Identifier: Apache-2.0
#include "model_file.h"

#include <climits>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

namespace tessera::onnx {
namespace {

bool is_default_domain(const pb::OperatorSetIdProto& opset) {
  return opset.domain().empty() || opset.domain() == "ai.onnx";
}

}  // namespace

int default_opset(const pb::ModelProto& model) {
  for (const auto& opset : model.opset_import()) {
    if (is_default_domain(opset) && opset.version() > 0 && opset.version() < INT_MAX)
      return static_cast<int>(opset.version());
  }
  return 0;
}

pb::ModelProto read_model(const std::filesystem::path& path) {
  const auto fail = [&](std::string_view what) {
    throw ImportError(fmt::format("{}: {}", path.string(), what));
  };
  const std::vector<std::byte> bytes = read_bytes(path);
  if (bytes.empty())
    fail("the file is empty; allowed: an ONNX model");
  if (bytes.size() > INT_MAX)
    fail("the file has more than 2 GiB; allowed: less, with large weights in external files");
  pb::ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    fail("not an ONNX model, or cut off: the protocol buffer cannot be parsed");
  if (!model.has_graph())
    fail("not an ONNX model: there is no graph in it");
  const int opset = default_opset(model);
  if (opset == 0)
    fail("no opset of the default domain is imported; allowed: 7 to 25");
  if (opset < 7 || opset > 25)
    fail(fmt::format("opset {} is not known; allowed: 7 to 25", opset));
  return model;
}

}  // namespace tessera::onnx
