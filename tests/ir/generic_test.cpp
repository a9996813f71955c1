// SPDX-License-Identifier: Apache-2.0
// Operators that are kept as ONNX defines them: sizes, work, and what they do to the batch. What
// they compute is tested with ONNX's own cases (tests/flow/onnx_node_tests.cpp).
#include "tessera/ir/generic.h"

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Generic generic(std::string type, std::map<std::string, Attribute> attributes = {},
                std::vector<int> positions = {0}) {
  return {.type = std::move(type),
          .opset = 17,
          .attributes = std::move(attributes),
          .positions = std::move(positions)};
}

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from({static_cast<std::int64_t>(values.size())}, values);
}

// A node over activations of these shapes, then constants.
struct Sample {
  std::string name;
  Generic op;
  std::vector<Shape> activations;
  std::vector<Tensor> constants;
  Shape output;
  bool keeps_batch;
  std::int64_t operations = 0;
};

Graph graph_of(const Sample& sample, std::int64_t batch) {
  GraphBuilder b;
  b.graph.batched = false;
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < sample.activations.size(); ++i) {
    Shape shape = sample.activations[i];
    shape[0] = batch;
    inputs.push_back(b.input("x" + std::to_string(i), shape));
  }
  for (std::size_t i = 0; i < sample.constants.size(); ++i)
    inputs.push_back(b.graph.add_constant("c" + std::to_string(i), sample.constants[i]));
  return b.finish({b.node("node", sample.op, inputs)});
}

const Tensor kRow = Tensor::from({4}, std::vector<float>{1, 2, 3, 4});

std::vector<Sample> samples() {
  using Ints = std::vector<std::int64_t>;
  return {
      {"erf", generic("Erf"), {{1, 4}}, {}, {1, 4}, true, 4},
      {"add_row", generic("Add", {}, {0, 1}), {{1, 3, 4}}, {kRow}, {1, 3, 4}, true, 12},
      {"transpose",
       generic("Transpose", {{"perm", Ints{0, 2, 1}}}),
       {{1, 3, 4}},
       {},
       {1, 4, 3},
       true},
      {"transpose_batch",
       generic("Transpose", {{"perm", Ints{1, 0, 2}}}),
       {{1, 3, 4}},
       {},
       {3, 1, 4},
       false},
      {"softmax", generic("Softmax", {{"axis", std::int64_t{-1}}}), {{1, 4}}, {}, {1, 4}, true, 12},
      {"softmax_batch",
       generic("Softmax", {{"axis", std::int64_t{0}}}),
       {{1, 4}},
       {},
       {1, 4},
       false,
       12},
      {"mean", generic("ReduceMean", {{"axes", Ints{1}}}), {{1, 3, 4}}, {}, {1, 1, 4}, true, 12},
      {"mean_all", generic("ReduceMean"), {{1, 3, 4}}, {}, {1, 1, 1}, false, 12},
      {"matmul", generic("MatMul", {}, {0, 1}), {{1, 3, 4}, {1, 4, 5}}, {}, {1, 3, 5}, true, 60},
      {"matmul_matrices", generic("MatMul", {}, {0, 1}), {{1, 1}, {1, 5}}, {}, {1, 5}, false, 5},
      {"slice",
       generic("Slice", {}, {0, 1, 2, 3}),
       {{1, 8}},
       {integers({1}), integers({7}), integers({1})},
       {1, 6},
       true},
      {"slice_back",
       generic("Slice", {}, {0, 1, 2, 3, 4}),
       {{1, 8}},
       {integers({-1}), integers({-100}), integers({1}), integers({-3})},
       {1, 3},
       true},
      {"gather_table",
       generic("Gather", {}, {1, 0}),
       {{1, 5}},
       {Tensor::from({9, 4}, std::vector<float>(36))},
       {1, 5, 4},
       true},
      {"flatten", generic("Flatten", {{"axis", std::int64_t{2}}}), {{1, 3, 4}}, {}, {3, 4}, false},
      {"resize",
       generic("Resize", {}, {0, 2}),
       {{1, 2, 3, 4}},
       {Tensor::from({4}, std::vector<float>{1, 1, 2, 1.5F})},
       {1, 2, 6, 6},
       true,
       288},
      {"pool_1d",
       generic("MaxPool", {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}}),
       {{1, 2, 9}},
       {},
       {1, 2, 4},
       true,
       24},
      {"conv_3d",
       generic("Conv", {}, {0, 1}),
       {{1, 2, 4, 4, 4}},
       {Tensor::from({3, 2, 2, 2, 2}, std::vector<float>(48))},
       {1, 3, 3, 3, 3},
       true,
       81 * 16},
      {"transposed",
       generic("ConvTranspose", {{"strides", Ints{2, 2}}}, {0, 1}),
       {{1, 2, 3, 3}},
       {Tensor::from({2, 4, 3, 3}, std::vector<float>(72))},
       {1, 4, 7, 7},
       true,
       18 * 36},
      // Windows reach over 2·(3−1) + 3 = 7 places; the other two stand behind them.
      {"transposed_wide",
       generic("ConvTranspose", {{"strides", Ints{2, 2}}, {"output_shape", Ints{9, 9}}}, {0, 1}),
       {{1, 2, 3, 3}},
       {Tensor::from({2, 4, 3, 3}, std::vector<float>(72))},
       {1, 4, 9, 9},
       true,
       18 * 36},
      {"lstm",
       generic("LSTM", {{"layout", std::int64_t{1}}}, {0, 1, 2}),
       {{1, 5, 3}},
       {Tensor::from({1, 8, 3}, std::vector<float>(24)),
        Tensor::from({1, 8, 2}, std::vector<float>(16))},
       {1, 5, 1, 2},
       true,
       5 * 40},
      {"einsum",
       generic("Einsum", {{"equation", std::string("bij,jk->bik")}}, {0, 1}),
       {{1, 3, 4}},
       {Tensor::from({4, 5}, std::vector<float>(20))},
       {1, 3, 5},
       false,
       60},
  };
}

class GenericOps : public ::testing::TestWithParam<Sample> {};

TEST_P(GenericOps, HaveSizesAndWork) {
  const Graph graph = graph_of(GetParam(), 1);
  EXPECT_EQ(graph.value(graph.outputs[0]).shape, GetParam().output);
  EXPECT_EQ(keeps_batch(graph, graph.nodes()[0]), GetParam().keeps_batch);
  EXPECT_EQ(workload(graph).glue.at(0).operations, GetParam().operations);
}

// The defining property: what keeps the batch has the same sizes behind the batch for any of it,
// and its outermost size is the batch.
TEST_P(GenericOps, ThatKeepTheBatchFollowIt) {
  if (!GetParam().keeps_batch)
    return;
  for (const std::int64_t batch : {2, 5}) {
    const Graph graph = graph_of(GetParam(), batch);
    Shape expected = GetParam().output;
    expected[0] = batch;
    EXPECT_EQ(graph.value(graph.outputs[0]).shape, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GenericOps, ::testing::ValuesIn(samples()),
                         [](const auto& test) { return test.param.name; });

TEST(GenericOps, RefuseWhatDoesNotFit) {
  const auto refuse = [](Generic op, std::vector<Shape> shapes, const char* says) {
    const Sample sample{"", std::move(op), std::move(shapes), {}, {}, false};
    EXPECT_THAT([&] { graph_of(sample, 1); }, ThrowsMessage<ImportError>(HasSubstr(says)));
  };
  refuse(generic("MatMul", {}, {0, 1}), {{1, 3, 4}, {1, 5, 6}},
         "node 'node' (MatMul): factors 1x3x4 and 1x5x6 do not fit");
  refuse(generic("Add", {}, {0, 1}), {{1, 3}, {1, 4}}, "shapes 1x3 and 1x4 do not fit");
  refuse(generic("Softmax", {{"axis", std::int64_t{2}}}), {{1, 4}}, "axis is 2, allowed: -2 to 1");
  refuse(generic("DepthToSpace", {{"blocksize", std::int64_t{2}}}), {{1, 6, 2, 2}},
         "input 1x6x2x2 does not fit blocks of 2");
  refuse(generic("MaxPool", {{"kernel_shape", std::vector<std::int64_t>{9}}}), {{1, 2, 4}},
         "a kernel of 9 with dilation 1 does not fit into 4");
  refuse(generic("NonZero"), {{1, 4}}, "its sizes depend on values, which is not constant");
  refuse(generic("Add"), {{1, 4}}, "1 inputs, allowed: 2 to 2");
}

TEST(GenericOps, NameAttributesTheyDoNotHave) {
  EXPECT_EQ(generic_misfit(generic("Erf")), std::nullopt);
  EXPECT_EQ(generic_misfit(generic("Erf", {{"axis", std::int64_t{1}}})),
            "attribute axis not supported");
  EXPECT_EQ(generic_misfit(generic("Elu", {{"alpha", std::int64_t{1}}})),
            "attribute alpha is an integer, allowed: a float");
}

TEST(GenericOps, FormsChangeTheHash) {
  const Sample old{"", generic("Softmax", {{"axis", std::int64_t{1}}}), {{1, 4}}, {}, {}, true};
  Sample before = old;
  before.op.opset = 11;
  EXPECT_NE(canonical_hash(graph_of(old, 1)), canonical_hash(graph_of(before, 1)));
  before.op.opset = 13;
  EXPECT_EQ(canonical_hash(graph_of(old, 1)), canonical_hash(graph_of(before, 1)));
}

}  // namespace
}  // namespace tessera::ir
