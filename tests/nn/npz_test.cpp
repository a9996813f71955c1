// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/data/npz.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/nn/data/safetensors.h"

#include "support/shared_files.h"

namespace tessera::nn {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

template <typename Function>
std::string io_error(const Function& function) {
  try {
    function();
  } catch (const IoError& error) {
    return error.what();
  }
  return "no error";
}

NamedTensors arrays_of_all_types() {
  NamedTensors arrays;
  for (const auto type : {torch::kFloat16, torch::kFloat32, torch::kFloat64, torch::kInt8,
                          torch::kInt16, torch::kInt32, torch::kInt64, torch::kUInt8})
    arrays.emplace_back(fmt::format("a{}", arrays.size()),
                        torch::arange(12, torch::kInt64).view({3, 4}).to(type));
  arrays.emplace_back("flags", torch::tensor({1, 0, 1}).to(torch::kBool));
  arrays.emplace_back("scalar", torch::tensor(2.5));
  arrays.emplace_back("empty", torch::empty({0, 3}));
  return arrays;
}

void expect_same(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_EQ(a[i].second.scalar_type(), b[i].second.scalar_type()) << a[i].first;
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
  }
}

std::string read(const fs::path& path) {
  return read_text(path);
}

// Without flushing to disk, unlike write_atomic(): these are written by the thousand.
void write(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

TEST(Npz, RoundTripsEveryType) {
  const fs::path file = testing::temp_folder() / "a.npz";
  write_npz(file, arrays_of_all_types());
  expect_same(read_npz(file), arrays_of_all_types());
}

TEST(Npz, WritesTheSameBytesAgain) {
  const fs::path folder = testing::temp_folder();
  write_npz(folder / "a.npz", arrays_of_all_types());
  write_npz(folder / "b.npz", arrays_of_all_types());
  EXPECT_EQ(read(folder / "a.npz"), read(folder / "b.npz"));
}

TEST(Npz, FindsByName) {
  const NamedTensors arrays = arrays_of_all_types();
  ASSERT_NE(find(arrays, "scalar"), nullptr);
  EXPECT_EQ(find(arrays, "scalar")->item<float>(), 2.5F);
  EXPECT_EQ(find(arrays, "nothing"), nullptr);
}

TEST(Npz, ReadsWhatNumPyWrote) {
  // savez_compressed: deflated, C and Fortran order.
  const NamedTensors arrays = read_npz(testing::source_file("tests/nn/data/numpy.npz"));
  ASSERT_EQ(arrays.size(), 3U);
  const torch::Tensor expected = torch::arange(6, torch::kFloat32).view({2, 3}) / 4;
  EXPECT_TRUE(torch::equal(*find(arrays, "rows"), expected));
  EXPECT_TRUE(torch::equal(*find(arrays, "columns"), expected));
  EXPECT_TRUE(torch::equal(*find(arrays, "ints"), torch::tensor({-1, 0, 1 << 20}, torch::kInt64)));
}

TEST(Npz, EveryCutIsAnErrorThatNamesTheFile) {
  const fs::path folder = testing::temp_folder();
  write_npz(folder / "a.npz", {{"x", torch::arange(5)}, {"y", torch::ones({2, 2})}});
  const std::string whole = read(folder / "a.npz");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(folder / "cut.npz", std::string_view(whole).substr(0, size));
    ASSERT_THAT(io_error([&] { read_npz(folder / "cut.npz"); }), HasSubstr("cut.npz")) << size;
  }
}

TEST(Npz, ChangedBytesNeverCrash) {
  const fs::path folder = testing::temp_folder();
  write_npz(folder / "a.npz", {{"x", torch::arange(5)}, {"y", torch::ones({2, 2})}});
  const std::string whole = read(folder / "a.npz");
  int rejected = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      write(folder / "changed.npz", changed);
      rejected += io_error([&] { read_npz(folder / "changed.npz"); }) != "no error";
    }
  }
  EXPECT_GT(rejected, static_cast<int>(whole.size()));
}

TEST(Npz, SaysWhatIsWrong) {
  const fs::path folder = testing::temp_folder();
  write_npz(folder / "a.npz", {{"x", torch::arange(5)}});
  std::string text = read(folder / "a.npz");
  EXPECT_THAT(io_error([&] { read_npz(folder / "none.npz"); }), HasSubstr("none.npz"));
  write(folder / "text.npz", "not an archive, but a text of some length");
  EXPECT_THAT(io_error([&] { read_npz(folder / "text.npz"); }), HasSubstr("not a zip archive"));
  text[text.find("<i8") + 1] = 'c';
  write(folder / "b.npz", text);
  EXPECT_THAT(io_error([&] { read_npz(folder / "b.npz"); }), HasSubstr("checksum"));
}

SafeTensors example() {
  return {.tensors = arrays_of_all_types(), .metadata = {{"made by", "a test"}}};
}

TEST(SafeTensorsFile, RoundTrips) {
  const fs::path file = testing::temp_folder() / "a.safetensors";
  write_safetensors(file, example());
  const SafeTensors read = read_safetensors(file);
  expect_same(read.tensors, example().tensors);
  EXPECT_EQ(read.metadata, example().metadata);
}

TEST(SafeTensorsFile, CutsAndChangesNeverCrash) {
  const fs::path folder = testing::temp_folder();
  write_safetensors(folder / "a.safetensors",
                    {.tensors = {{"x", torch::arange(3)}}, .metadata = {}});
  const std::string whole = read(folder / "a.safetensors");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    write(folder / "b.safetensors", std::string_view(whole).substr(0, at));
    ASSERT_THAT(io_error([&] { read_safetensors(folder / "b.safetensors"); }),
                HasSubstr("b.safetensors"));
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ '\x55');
    write(folder / "b.safetensors", changed);
    io_error([&] { read_safetensors(folder / "b.safetensors"); });
  }
}

// A file with this header and so many bytes of values.
fs::path file_with(const std::string& header, std::size_t bytes) {
  const fs::path file = testing::temp_folder() / "h.safetensors";
  std::uint64_t size = header.size();
  std::string content(reinterpret_cast<const char*>(&size), sizeof size);
  write(file, content + header + std::string(bytes, '\0'));
  return file;
}

TEST(SafeTensorsFile, SaysWhatIsWrong) {
  const auto error = [](const std::string& header, std::size_t bytes) {
    const fs::path file = file_with(header, bytes);
    return io_error([&] { read_safetensors(file); });
  };
  EXPECT_THAT(error("[1]", 0), HasSubstr("not a JSON object"));
  EXPECT_THAT(error("{\"a\":", 0), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[1]}})", 4), HasSubstr("tensor 'a'"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("type 'F8'"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
              HasSubstr("need 8"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
              HasSubstr("'-1' is not a size"));
  EXPECT_THAT(
      error(R"({"a":{"dtype":"U8","shape":[9223372036854775808,2],"data_offsets":[0,0]}})", 0),
      HasSubstr("too large"));
  EXPECT_THAT(error(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                    R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                    3),
              HasSubstr("begins at byte 1"));
  EXPECT_THAT(error(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3),
              HasSubstr("describes 2"));
}

}  // namespace
}  // namespace tessera::nn
