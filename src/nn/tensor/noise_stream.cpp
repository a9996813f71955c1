// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/noise_stream.h"

#include "tessera/core/error.h"

namespace tessera::nn {

NoiseStream::NoiseStream(const Rng& rng, torch::Device device) : seed_(make_seed(device)) {
  set_seed(seed_, rng);
}

torch::Tensor NoiseStream::make_seed(torch::Device device) {
  return torch::zeros({}, torch::dtype(torch::kInt64).device(device));
}

void NoiseStream::set_seed(const torch::Tensor& seed, const Rng& rng) {
  seed.fill_(static_cast<std::int64_t>(Rng(rng).next_u64()));
}

NoiseStream::Draw NoiseStream::next() {
  TESSERA_CHECK(seed_.defined(), "noise needs a stream");
  // Odd, so that keys and draws never meet: (key, draw) pairs map to different numbers.
  constexpr std::uint64_t kStride = 0x9e3779b97f4a7c15U;
  return {.seed = seed_, .key = key_ + kStride * draws_++};
}

std::uint64_t NoiseStream::next_seed() {
  const Draw draw = next();
  return Rng(static_cast<std::uint64_t>(draw.seed.item<std::int64_t>())).split(draw.key).next_u64();
}

}  // namespace tessera::nn
