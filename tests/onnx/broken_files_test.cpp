// SPDX-License-Identifier: Apache-2.0
// Files that must be refused with a message that says where and what, never with a crash.
#include <fstream>

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/rng.h"
#include "tessera/onnx/import.h"

#include "onnx/fixture.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Broken {
  std::string file;
  std::string says;
};

const Broken kBroken[] = {
    {"cycle", "nodes depend on themselves: node 'first', node 'second', node 'third'"},
    {"undefined_input", "node 'node' (Relu, opset 13) reads 'z', which is not an input"},
    {"made_twice", "value 'y' is made twice, the second time by node 'second' (Tanh)"},
    {"initializer_twice", "value 'k' is made twice"},
    {"no_outputs", "the graph has no outputs"},
    {"output_not_made", "output 'z' is not made by any node"},
    {"no_opset", "no opset of the default domain is imported; allowed: 7 to 25"},
    {"old_opset", "opset 6 is not known; allowed: 7 to 25"},
    {"no_graph", "not an ONNX model: there is no graph in it"},
    {"batches_differ", "input 'z' has batch 3, another input has 2"},
    {"not_a_tensor", "input 'x' is not a tensor"},
    {"conv_channels",
     "node 'node' (Conv, opset 13): input 1x2x4x4 does not fit weights 2x3x3x3 in 1 groups"},
    {"conv_kernel_shape", "kernel_shape 5x5 does not fit the weight's shape 2x2x3x3"},
    {"conv_stride", "stride is 0, allowed: 1 to 1048576"},
    {"conv_huge_pad", "pad is 4611686018427387904, allowed: 0 to 1048576"},
    {"conv_missing_weight", "input 1 is missing; there are 1"},
    {"conv_auto_pad", "auto_pad is SOME, allowed: NOTSET, SAME_UPPER, SAME_LOWER, VALID"},
    {"attribute_type", "attribute axis is of type FLOAT, allowed: INT"},
    {"gemm_width", "input 1x4 does not fit weights 3x5"},
    {"add_shapes", "shapes 1x2x4x4 and 3x1x1 do not fit"},
    {"reshape_elements", "shape 1x2x4x4 cannot become 0x5"},
    {"softmax_axis", "axis is 9, allowed: -4 to 3"},
    {"gather_index", "node 'node' (Gather, opset 13): index 7 is not within 4 elements"},
    {"raw_length", "initializer 'k': 5 bytes of data, allowed for 2 elements: 8"},
    {"field_length", "initializer 'k': 3 elements of data, allowed for its shape: 2"},
    {"negative_size", "initializer 'k': has shape -2x1x1, allowed: sizes of at least 0"},
    {"huge_size", "allowed: sizes of at least 0, 2^40 elements in all"},
    {"strings", "initializer 'k': holds STRING, which is not supported"},
    {"type", "initializer 'k': holds type 99"},
    {"external_missing", "external data file"},
    {"external_outside", "allowed: a file in or below the model's folder"},
    {"external_offset", "external data's offset is 'twelve'"},
    {"external_length", "external data of 4 bytes, allowed for its shape: 8"},
    {"external_nowhere", "external data without a location"},
    {"sparse", "sparse initializers are not supported"},
};

class BrokenFiles : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenFiles, SayWhereAndWhat) {
  const auto path = fixture("broken/" + GetParam().file);
  EXPECT_THAT([&] { import_onnx(path); },
              ThrowsMessage<ImportError>(
                  AllOf(HasSubstr(path.string() + ": "), HasSubstr(GetParam().says))));
}

INSTANTIATE_TEST_SUITE_P(All, BrokenFiles, ::testing::ValuesIn(kBroken),
                         [](const auto& test) { return test.param.file; });

TEST(BrokenFiles, MissingEmptyAndGarbage) {
  const auto folder = testing::temp_folder();
  EXPECT_THROW(import_onnx(folder / "none.onnx"), IoError);
  const auto refuse = [&](std::string_view content, const char* says) {
    write_atomic(folder / "m.onnx", content);
    EXPECT_THAT([&] { import_onnx(folder / "m.onnx"); },
                ThrowsMessage<ImportError>(HasSubstr(says)));
  };
  refuse("", "the file is empty");
  refuse("%PDF-1.5 this is something else", "not an ONNX model");
  refuse(std::string(1000, '\xff'), "not an ONNX model");
}

// Every prefix of a file, and files with a few bytes changed, either import or are refused.
TEST(BrokenFiles, CutOffOrDamaged) {
  const auto path = testing::temp_folder() / "m.onnx";
  const auto try_import = [&](std::string_view content) {
    std::ofstream(path, std::ios::binary) << content;  // no need to reach the disk
    try {
      import_onnx(path);
    } catch (const ImportError&) {
      SUCCEED();
    }
  };
  for (const char* name : {"ops/conv", "ops/reshape_slice", "ops/gemm_scaled", "ops/types"}) {
    const std::string whole = read_text(fixture(name));
    for (std::size_t length = 0; length < whole.size(); length += 3)
      try_import(std::string_view(whole).substr(0, length));
    Rng rng = Rng(7).split(name);
    for (int i = 0; i < 400; ++i) {
      std::string damaged = whole;
      for (int k = 0; k < 3; ++k)
        damaged[rng.below(damaged.size())] = static_cast<char>(rng.below(256));
      try_import(damaged);
    }
  }
}

}  // namespace
}  // namespace tessera::onnx
