// SPDX-License-Identifier: Apache-2.0
// A model is read as protobuf alone would read it, and its tensors are the same whether they stay
// in the file or not.
#include "onnx/model_file.h"

#include <algorithm>
#include <fstream>
#include <memory>

#include <gmock/gmock.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"
#include "tessera/onnx/import.h"

#include "onnx/fixture.h"
#include "support/shared_files.h"

namespace tessera::onnx {
namespace {

// With the raw data back in the messages.
pb::ModelProto put_back(ModelFile read) {
  auto& tensors = *read.model.mutable_graph()->mutable_initializer();
  EXPECT_EQ(read.raw_data.size(), static_cast<std::size_t>(tensors.size()));
  for (std::size_t i = 0; i < read.raw_data.size(); ++i) {
    pb::TensorProto& tensor = tensors[static_cast<int>(i)];
    EXPECT_FALSE(tensor.has_raw_data()) << tensor.name();
    if (!read.raw_data[i])
      continue;
    std::string& raw = *tensor.mutable_raw_data();
    raw.resize(read.raw_data[i]->size);
    read.raw_data[i]->read(std::as_writable_bytes(std::span(raw)));
  }
  return std::move(read.model);
}

std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".onnx")
      files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::vector<std::filesystem::path> networks() {
  std::vector<std::filesystem::path> files = files_below(testing::source_file("tests/networks"));
  for (const auto& folder :
       {std::optional(fixture("ops/add").parent_path()), testing::shared_file("models")}) {
    if (folder) {
      const auto more = files_below(*folder);
      files.insert(files.end(), more.begin(), more.end());
    }
  }
  return files;
}

TEST(ModelFile, HoldsWhatProtobufReads) {
  ASSERT_GT(networks().size(), 50U);
  for (const auto& path : networks()) {
    const pb::ModelProto whole = whole_model(path);
    EXPECT_EQ(put_back(read_model(path)).SerializeAsString(), whole.SerializeAsString()) << path;
  }
}

TEST(ModelFile, ConstantsInTheFileAreThoseInMemory) {
  for (const auto& path : networks()) {
    std::optional<ir::Graph> in_memory;
    try {
      in_memory = import_onnx(path);
    } catch (const ImportError&) {
      continue;  // a fixture of what is refused
    }
    EXPECT_EQ(import_onnx(path, {.constants = Constants::kInFile}), *in_memory) << path;
  }
}

TEST(ModelFile, ConstantsInMemoryDoNotNeedTheFile) {
  const auto path = testing::temp_folder() / "m.onnx";
  const std::string content =
      read_text(testing::source_file("tests/networks/vit_dynamo/model.onnx"));
  write_atomic(path, content);
  const ir::Graph in_memory = import_onnx(path);
  const ir::Graph in_file = import_onnx(path, {.constants = Constants::kInFile});
  std::ofstream(path) << "something else";
  write_atomic(path.parent_path() / "copy.onnx", content);
  EXPECT_EQ(in_memory, import_onnx(path.parent_path() / "copy.onnx"));
  EXPECT_THAT([&] { (void)(in_file == in_memory); },
              ::testing::ThrowsMessage<IoError>(::testing::HasSubstr("m.onnx: has changed")));
}

// Bytes that protobuf parses, and no others, are a model.
TEST(ModelFile, RefusesWhatProtobufRefuses) {
  const auto path = testing::temp_folder() / "m.onnx";
  int sound = 0;
  int broken = 0;
  const auto check = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;  // no need to reach the disk
    pb::ModelProto whole;
    const bool parses = whole.ParseFromString(content);
    try {
      const pb::ModelProto read = put_back(read_model(path));
      EXPECT_TRUE(parses);
      EXPECT_EQ(read.SerializeAsString(), whole.SerializeAsString());
    } catch (const ImportError& error) {
      const bool unparsed = std::string(error.what()).ends_with("cannot be parsed");
      EXPECT_EQ(parses || content.empty(), !unparsed) << error.what();
    }
    ++(parses ? sound : broken);
  };
  for (const char* name : {"ops/conv", "ops/reshape_slice", "ops/gemm_scaled", "ops/types"}) {
    const std::string whole = read_text(fixture(name));
    for (std::size_t length = 0; length < whole.size(); ++length)
      check(whole.substr(0, length));
    // A second model behind the first is merged with it.
    check(whole + whole);
    Rng rng = Rng(5).split(name);
    for (int i = 0; i < 3000; ++i) {
      std::string damaged = whole;
      for (std::uint64_t k = rng.below(4); k > 0; --k)
        damaged[rng.below(damaged.size())] = static_cast<char>(rng.below(256));
      if (rng.below(4) == 0)
        damaged.erase(rng.below(damaged.size()), 1);
      if (rng.below(4) == 0)
        damaged.insert(rng.below(damaged.size()), 1, static_cast<char>(rng.below(256)));
      check(damaged);
    }
  }
  EXPECT_GT(sound, 1000);
  EXPECT_GT(broken, 1000);
}

}  // namespace
}  // namespace tessera::onnx
