// SPDX-License-Identifier: Apache-2.0
// Sixty files made from a sound network by one small change each, and what the importer says of
// them. The messages are kept to notice a change (mutations.golden); a mutation that still loads is
// one whose change lies in a weight, a name or a size that fits.
#include <fmt/ranges.h>

#include <fstream>

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/rng.h"
#include "tessera/ir/workload.h"
#include "tessera/onnx/import.h"

#include "onnx/fixture.h"
#include "onnx/model_file.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

// Changes one thing that a person or a converter might get wrong.
void mutate(pb::ModelProto& model, Rng& rng) {
  auto& graph = *model.mutable_graph();
  const auto below = [&](int size) {
    return static_cast<int>(rng.below(static_cast<std::uint64_t>(size)));
  };
  pb::NodeProto& node = *graph.mutable_node(below(graph.node_size()));
  pb::TensorProto& tensor = *graph.mutable_initializer(below(graph.initializer_size()));
  switch (rng.below(10)) {
    case 0:
      node.set_op_type(node.op_type() + "2");
      break;
    case 1:
      if (node.input_size() > 0)
        node.set_input(below(node.input_size()), "nowhere");
      break;
    case 2:
      node.set_output(0, graph.node(0).output(0));
      break;
    case 3:
      if (tensor.dims_size() > 0)
        tensor.set_dims(0, tensor.dims(0) + 1);
      break;
    case 4:
      tensor.set_data_type(8);  // strings
      break;
    case 5:
      tensor.mutable_raw_data()->resize(tensor.raw_data().size() / 2);
      break;
    case 6:
      for (auto& attribute : *node.mutable_attribute()) {
        for (auto& value : *attribute.mutable_ints())
          value = -value;
      }
      break;
    case 7:
      node.clear_input();
      break;
    case 8:
      node.add_attribute()->set_name("strength");
      break;
    default:
      node.set_domain("acme");
  }
}

// What is left off: the folder.
std::string answer(const std::filesystem::path& file) {
  try {
    const std::vector<std::string> unknown = ir::unknown_operators(import_onnx(file));
    return unknown.empty() ? "loads" : fmt::format("not understood: {}", fmt::join(unknown, "; "));
  } catch (const ImportError& error) {
    std::string text = error.what();
    const std::string folder = file.parent_path().string() + "/";
    for (std::size_t at = 0; (at = text.find(folder)) != std::string::npos;)
      text.erase(at, folder.size());
    return text;
  }
}

TEST(Mutations, AreAnsweredAsBefore) {
  const std::filesystem::path source =
      std::filesystem::path(TESSERA_SOURCE_DIR) / "tests/networks/shufflenet_dynamo/model.onnx";
  const std::filesystem::path file = testing::temp_folder() / "m.onnx";
  std::string found;
  for (int i = 0; i < 60; ++i) {
    pb::ModelProto model = whole_model(source);
    Rng rng = Rng(11).split(std::to_string(i));
    mutate(model, rng);
    write_atomic(file, model.SerializeAsString());
    found += fmt::format("{}: {}\n", i, answer(file));
  }
  const std::filesystem::path golden =
      std::filesystem::path(TESSERA_SOURCE_DIR) / "tests/onnx/mutations.golden";
  const std::filesystem::path made = testing::temp_folder() / "mutations.golden";
  std::ofstream(made) << found;
  EXPECT_EQ(found, read_text(golden)) << "copy " << made << " where the change is meant";
}

}  // namespace
}  // namespace tessera::onnx
