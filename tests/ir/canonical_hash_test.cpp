// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tessera/ir/passes.h"

#include "ir/build_graph.h"

namespace tessera::ir {
namespace {

struct Variant {
  std::string prefix{};
  bool swap_branches = false;
  bool identity = false;
  float weight = 0.5F;
  std::int64_t size = 8;
  std::int64_t stride = 1;
};

// Two convolutions side by side, added.
Graph network(const Variant& v) {
  GraphBuilder b;
  const ValueId x = b.input(v.prefix + "x", {1, 1, v.size, v.size});
  const ValueId w1 = b.ramp(v.prefix + "w1", {2, 1, 3, 3}, v.weight);
  const ValueId w2 = b.ramp(v.prefix + "w2", {2, 1, 3, 3}, -1);
  const Conv conv{.strides = {v.stride, v.stride}};
  ValueId first = v.swap_branches ? b.node(v.prefix + "c2", conv, {x, w2})
                                  : b.node(v.prefix + "c1", conv, {x, w1});
  const ValueId second = v.swap_branches ? b.node(v.prefix + "c1", conv, {x, w1})
                                         : b.node(v.prefix + "c2", conv, {x, w2});
  if (v.identity)
    first = b.node(v.prefix + "id", Unary{}, {first});
  return b.finish({b.node(v.prefix + "add", Binary{}, {first, second})});
}

TEST(CanonicalHash, IgnoresNamesOrderAndIdentities) {
  const std::string hash = canonical_hash(network({}));
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(canonical_hash(network({.prefix = "other/"})), hash);
  EXPECT_EQ(canonical_hash(network({.swap_branches = true})), hash);
  EXPECT_EQ(canonical_hash(network({.identity = true})), hash);
  EXPECT_EQ(canonical_hash(canonicalize(network({.identity = true}))), hash);
}

TEST(CanonicalHash, SeesWeightsShapesAndAttributes) {
  const std::string hash = canonical_hash(network({}));
  EXPECT_NE(canonical_hash(network({.weight = 0.25F})), hash);
  EXPECT_NE(canonical_hash(network({.size = 9})), hash);
  EXPECT_NE(canonical_hash(network({.stride = 2})), hash);
}

TEST(CanonicalHash, OrderOfSubtractionCounts) {
  const auto subtract = [](bool swap) {
    GraphBuilder b;
    const ValueId x = b.input("x", {1, 2});
    const ValueId r = b.node("r", Unary{UnaryKind::kRelu}, {x});
    return b.finish(
        {b.node("s", Binary{BinaryKind::kSub}, swap ? std::vector{r, x} : std::vector{x, r})});
  };
  EXPECT_NE(canonical_hash(subtract(false)), canonical_hash(subtract(true)));
}

}  // namespace
}  // namespace tessera::ir
