// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/tensor.h"

#include <gtest/gtest.h>

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
