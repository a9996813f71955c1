// SPDX-License-Identifier: Apache-2.0
#pragma once

// Normal numbers in bulk on the CPU. LibTorch's own take longer than the convolution whose outputs
// they are added to; these come eight at a time from vectorised arithmetic. No LibTorch here.

#include <cstdint>

namespace tessera::nn::detail {

// Numbers come in blocks of this many, each block from a stream of its own that depends on the seed
// and the block's number alone: blocks may be made in any order and on any thread.
inline constexpr std::int64_t kNormalBlock = 4096;

// Fills values[0, n) with the first n numbers of `block`. Standard normal to within 1e-6, from 24
// bits of uniform radius: magnitudes reach 5.7. REQUIRES: n <= kNormalBlock.
void fill_normal_block(std::uint64_t seed, std::int64_t block, float* values, std::int64_t n);

// Fills any n, block after block.
void fill_normal(std::uint64_t seed, float* values, std::int64_t n, int threads);

}  // namespace tessera::nn::detail
