// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tessera/ir/passes.h"

namespace tessera::ir {
namespace {

using ::testing::ElementsAre;

std::vector<float> unary(Unary op, const std::vector<float>& x) {
  const Tensor input = Tensor::from({static_cast<std::int64_t>(x.size())}, x);
  const Tensor output = evaluate(op, std::vector{input}, input.shape()).value();
  return {output.values<float>().begin(), output.values<float>().end()};
}

TEST(Evaluate, Unary) {
  EXPECT_THAT(unary({UnaryKind::kRelu}, {-1, 2}), ElementsAre(0, 2));
  EXPECT_THAT(unary({UnaryKind::kClip, 0, 6}, {-1, 2, 9}), ElementsAre(0, 2, 6));
  EXPECT_THAT(unary({UnaryKind::kLeakyRelu, 0.5F}, {-1, 2}), ElementsAre(-0.5F, 2));
  EXPECT_THAT(unary({UnaryKind::kSigmoid}, {0}), ElementsAre(0.5F));
  EXPECT_THAT(unary({UnaryKind::kTanh}, {0}), ElementsAre(0));
  EXPECT_THAT(unary({UnaryKind::kHardSigmoid, 0.25F, 0.5F}, {-8, 0, 1, 8}),
              ElementsAre(0, 0.5F, 0.75F, 1));
  EXPECT_THAT(unary({UnaryKind::kHardSwish}, {-4, 0, 3}), ElementsAre(-0.0F, 0, 3));
}

TEST(Evaluate, BinaryBroadcasts) {
  const Tensor a = Tensor::from({2, 2}, std::vector<float>{1, 2, 3, 4});
  const Tensor b = Tensor::from({2}, std::vector<float>{10, 20});
  const auto y = evaluate(Binary{BinaryKind::kSub}, std::vector{a, b}, {2, 2});
  EXPECT_THAT(y.value().values<float>(), ElementsAre(-9, -18, -7, -16));
}

TEST(Evaluate, IntegersDivideButNotByZero) {
  const auto ints = [](std::int64_t v) { return Tensor::from({}, std::vector<std::int64_t>{v}); };
  const auto divide = [&](std::int64_t a, std::int64_t b) {
    return evaluate(Binary{BinaryKind::kDiv}, std::vector{ints(a), ints(b)}, {});
  };
  EXPECT_EQ(divide(7, 2).value(), ints(3));
  EXPECT_EQ(divide(INT64_MIN, -1).value(), ints(INT64_MIN));
  EXPECT_EQ(divide(7, 0), std::nullopt);
}

TEST(Evaluate, MovesAnyType) {
  const Tensor x = Tensor::from({1, 4}, std::vector<std::int32_t>{1, 2, 3, 4});
  EXPECT_EQ(evaluate(Unary{UnaryKind::kIdentity}, std::vector{x}, {1, 4}).value(), x);
  EXPECT_EQ(evaluate(Reshape{{2, 2}}, std::vector{x}, {1, 2, 2}).value(),
            Tensor::from({1, 2, 2}, std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(evaluate(Softmax{1}, std::vector{x}, {1, 4}), std::nullopt);
}

}  // namespace
}  // namespace tessera::ir
