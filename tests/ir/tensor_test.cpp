// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/tensor.h"

#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "support/shared_files.h"

namespace tessera::ir {
namespace {

TEST(Tensor, HoldsValuesAndComparesBits) {
  const Tensor a = Tensor::from({2, 2}, std::vector<float>{1, 2, 3, 4});
  EXPECT_EQ(a.dtype(), DType::kFloat32);
  EXPECT_EQ(a.elements(), 4);
  EXPECT_EQ(a.values<float>()[2], 3.0F);
  EXPECT_EQ(a, Tensor::from({2, 2}, std::vector<float>{1, 2, 3, 4}));
  EXPECT_NE(a, Tensor::from({4}, std::vector<float>{1, 2, 3, 4}));
  EXPECT_NE(Tensor::from({1}, std::vector<float>{0.0F}),
            Tensor::from({1}, std::vector<float>{-0.0F}));
}

TEST(Tensor, RefusesWrongTypeAndLength) {
  const Tensor a = Tensor::from({2}, std::vector<std::int64_t>{1, 2});
  EXPECT_THROW(a.values<float>(), InternalError);
  EXPECT_THROW(Tensor(DType::kFloat32, {3}, std::vector<std::byte>(4)), InternalError);
}

// 1, 2, 3 behind one other byte.
FileRange in_new_file(const std::filesystem::path& path) {
  const float values[] = {1, 2, 3};
  std::vector<std::byte> content{std::byte{7}};
  const auto bytes = std::as_bytes(std::span(values));
  content.insert(content.end(), bytes.begin(), bytes.end());
  write_atomic(path, content);
  return {.file = std::make_shared<const FileReader>(path), .offset = 1, .size = sizeof values};
}

TEST(Tensor, InAFileIsLikeOneInMemory) {
  const auto path = testing::temp_folder() / "a";
  const Tensor a = Tensor::from({3}, std::vector<float>{1, 2, 3});
  const Tensor b = Tensor::in_file(DType::kFloat32, {3}, in_new_file(path));
  std::vector<float> copied(3);
  b.copy_to(std::as_writable_bytes(std::span(copied)));
  EXPECT_EQ(copied, (std::vector<float>{1, 2, 3}));
  const Tensor copy = b;
  EXPECT_EQ(b, a);
  EXPECT_EQ(copy.bytes().data(), b.bytes().data());
  // Once they are in memory, the file does not matter.
  std::ofstream(path) << "changed";
  b.copy_to(std::as_writable_bytes(std::span(copied)));
  EXPECT_EQ(copied, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(copy, a);
}

TEST(Tensor, InAFileNeedsTheFileAsItWas) {
  const auto path = testing::temp_folder() / "a";
  EXPECT_THROW(Tensor::in_file(DType::kFloat32, {4}, in_new_file(path)), InternalError);
  const Tensor a = Tensor::in_file(DType::kFloat32, {3}, in_new_file(path));
  std::ofstream(path) << "changed";
  std::vector<std::byte> copied(12);
  EXPECT_THROW(a.bytes(), IoError);
  EXPECT_THROW(a.copy_to(copied), IoError);
}

TEST(Tensor, ThreadsReadAFileOnce) {
  const auto path = testing::temp_folder() / "a";
  const Tensor a = Tensor::in_file(DType::kFloat32, {3}, in_new_file(path));
  std::vector<const float*> seen(8);
  std::vector<std::thread> threads;
  for (const float*& data : seen)
    threads.emplace_back([&data, a] { data = a.values<float>().data(); });
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(std::vector<const float*>(8, seen[0]), seen);
}

TEST(Tensor, EmptyAndScalar) {
  EXPECT_EQ(Tensor().elements(), 0);
  EXPECT_TRUE(Tensor().bytes().empty());
  EXPECT_EQ(Tensor::from({}, std::vector<float>{7}).elements(), 1);
}

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(element_count({1, 3, 32, 32}), 3072);
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({5, 0}), 0);
  EXPECT_EQ(to_string(Shape{1, 3, 32, 32}), "1x3x32x32");
  EXPECT_EQ(to_string(Shape{}), "scalar");
}

TEST(Shape, CheckedCountRefusesNegativeAndHuge) {
  EXPECT_EQ(checked_element_count({-1, 3}), std::nullopt);
  EXPECT_EQ(checked_element_count({INT64_MAX, INT64_MAX}), std::nullopt);
  EXPECT_EQ(checked_element_count({INT64_MAX, 0}), std::nullopt);
  EXPECT_EQ(checked_element_count({1 << 20, 1 << 20}), std::int64_t{1} << 40);
  EXPECT_EQ(checked_element_count({1 << 20, 1 << 20, 2}), std::nullopt);
}

}  // namespace
}  // namespace tessera::ir
