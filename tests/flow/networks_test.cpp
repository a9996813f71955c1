// SPDX-License-Identifier: Apache-2.0
// Small networks as PyTorch's two exporters write them (tests/networks), against ONNX Runtime.
#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/test_data.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/passes.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/tensor/generic.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

namespace tessera::flow {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

fs::path folder_of(const std::string& name) {
  return fs::path(TESSERA_SOURCE_DIR) / "tests/networks" / name;
}

// Within 1e-4 of the outputs' range.
void expect_agreement(const fs::path& model, const fs::path& data_folder) {
  for (const onnx::TestData& data : onnx::read_test_data(data_folder)) {
    const auto outputs = run_test_data(model, data, torch::kCPU);
    for (std::size_t i = 0; i < data.outputs.size(); ++i) {
      const torch::Tensor expected = nn::to_torch(data.outputs[i]);
      ASSERT_EQ(outputs[i].value.sizes(), expected.sizes()) << outputs[i].name;
      const double range = (expected.max() - expected.min()).item<double>();
      ASSERT_GT(range, 0);
      EXPECT_LT((outputs[i].value - expected).abs().max().item<double>(), 1e-4 * range)
          << outputs[i].name;
    }
  }
}

struct Case {
  std::string name;
  bool batched;
  std::size_t layers;  // counted by hand from the module in make_networks.py
};

// Attention's products of activations are glue; q, k, v, o and the two of the MLP are layers.
const Case kCases[] = {
    {"unet_script", true, 7},          {"unet_dynamo", true, 7},
    {"shufflenet_script", true, 8},    {"shufflenet_dynamo", true, 8},
    {"squeezenet_script", true, 8},    {"squeezenet_dynamo", true, 8},
    {"vit_script", false, 10},         {"vit_dynamo", false, 10},
    {"bert_qa_script", true, 13},      {"bert_qa_dynamo", true, 13},
    {"keyword_lstm_script", false, 2},
};

class Networks : public ::testing::TestWithParam<Case> {};

TEST_P(Networks, AgreeWithOnnxRuntime) {
  const fs::path folder = folder_of(GetParam().name);
  expect_agreement(folder / "model.onnx", folder);
}

TEST_P(Networks, LoadWithTheirLayers) {
  const LoadedNetwork network = load_network(folder_of(GetParam().name) / "model.onnx");
  EXPECT_EQ(network.graph.batched, GetParam().batched);
  EXPECT_EQ(ir::workload(network.graph).layers.size(), GetParam().layers);
}

TEST_P(Networks, SurviveExport) {
  const fs::path folder = folder_of(GetParam().name);
  const fs::path copy = fs::path(::testing::TempDir()) / (GetParam().name + ".onnx");
  const LoadedNetwork network = load_network(folder / "model.onnx");
  onnx::export_onnx(network.graph, {}, copy);
  EXPECT_EQ(ir::canonical_hash(load_network(copy).graph), ir::canonical_hash(network.graph));
  expect_agreement(copy, folder);
}

TEST_P(Networks, CostSomething) {
  const LoadedNetwork network = load_network(folder_of(GetParam().name) / "model.onnx");
  const cost::TiledModel model(ir::workload(network.graph),
                               hw::load_platform("ibm_hybrid", hw::platform_folders()));
  std::vector<int> choice(model.workload().layers.size());
  for (std::size_t layer = 0; layer < choice.size(); ++layer) {
    const auto paths = model.candidate_paths(layer);
    const auto digital = std::ranges::find_if(paths, [](const plan::Path& path) {
      return !std::holds_alternative<format::Analog>(path.parts[0].format);
    });
    ASSERT_NE(digital, paths.end());
    choice[layer] = static_cast<int>(digital - paths.begin());
  }
  const auto totals = model.totals(choice);
  ASSERT_TRUE(totals) << totals.error().detail;
  EXPECT_GT(totals->energy_pj, 0);
  EXPECT_GT(totals->macs, 0);
}

// Two different inputs at once give what each gives alone.
TEST_P(Networks, RunAnyBatch) {
  const fs::path folder = folder_of(GetParam().name);
  const nn::Network network(load_network(folder / "model.onnx").graph, torch::kCPU);
  const torch::InferenceMode inference;
  nn::FloatRunner runner;
  std::vector<torch::Tensor> one, other, both;
  const onnx::TestData data = onnx::read_test_data(folder).at(0);
  for (const ir::Tensor& input : data.inputs) {
    one.push_back(nn::to_torch(input));
    other.push_back(one.back().flip({-1}));
    both.push_back(torch::cat({one.back(), other.back()}));
  }
  const auto apart = {network.forward_all(one, runner), network.forward_all(other, runner)};
  const auto together = network.forward_all(both, runner);
  for (std::size_t i = 0; i < together.size(); ++i) {
    std::vector<torch::Tensor> parts;
    for (const auto& outputs : apart)
      parts.push_back(outputs[i]);
    EXPECT_FALSE(torch::equal(parts[0], parts[1]));
    EXPECT_TRUE(torch::allclose(together[i], torch::cat(parts), 1e-4, 1e-5)) << "output " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Networks, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

// An LSTM that the exporter has unrolled: every step's product is a layer of its own.
TEST(Networks, UnrolledRecurrenceAgrees) {
  const fs::path folder = folder_of("keyword_lstm_dynamo");
  expect_agreement(folder / "model.onnx", folder);
}

// What a graph of fixed sizes makes of a larger batch is what it makes of each part.
TEST(Networks, FixedSizesRunLargerBatchesPieceByPiece) {
  const nn::Network network(load_network(folder_of("vit_script") / "model.onnx").graph,
                            torch::kCPU);
  const torch::InferenceMode inference;
  nn::FloatRunner runner;
  const torch::Tensor images = torch::linspace(0, 1, 3 * 3 * 16 * 16).reshape({3, 3, 16, 16});
  const torch::Tensor all = network.forward(images, runner);
  ASSERT_EQ(all.sizes(), (std::vector<std::int64_t>{3, 10}));
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_TRUE(torch::equal(all[i], network.forward(images.slice(0, i, i + 1), runner)[0]));
}

TEST(LoadNetwork, TakesSizesBehindTheName) {
  // The batch stays open whatever is stated, where the network can run any; vit cannot.
  const std::string file = folder_of("bert_qa_script") / "model.onnx";
  const LoadedNetwork open = load_network(file + "?batch=2");
  EXPECT_EQ(open.graph.value(open.graph.inputs[0]).shape, (ir::Shape{1, 12}));
  const LoadedNetwork fixed =
      load_network((folder_of("vit_script") / "model.onnx").string() + "?batch=2");
  EXPECT_EQ(fixed.graph.value(fixed.graph.inputs[0]).shape, (ir::Shape{2, 3, 16, 16}));
  EXPECT_THAT([&] { load_network(file + "?bach=2"); },
              ThrowsMessage<UsageError>(HasSubstr("unknown input or dimension 'bach'")));
  EXPECT_THAT([&] { load_network(file + "?batch=many"); },
              ThrowsMessage<UsageError>(HasSubstr("'batch=many' states no size; allowed: "
                                                  "INPUT=1x3x224x224 or DIMENSION=128")));
  EXPECT_THAT([&] { load_network(file + "?input_ids=1x13"); },
              ThrowsMessage<ImportError>(HasSubstr("stated was 1x13")));
}

TEST(TestData, MustFitTheNetwork) {
  const fs::path folder = folder_of("bert_qa_script");
  EXPECT_THAT([&] { onnx::read_test_data(folder / "nothing"); },
              ThrowsMessage<ImportError>(HasSubstr("no test data; allowed: output_0.pb")));
  const auto data = onnx::read_test_data(folder_of("unet_script")).at(0);
  EXPECT_THAT([&] { run_test_data(folder / "model.onnx", data, torch::kCPU); },
              ThrowsMessage<UsageError>(HasSubstr("1 inputs, the network")));
}

}  // namespace
}  // namespace tessera::flow
