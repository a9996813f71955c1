// SPDX-License-Identifier: Apache-2.0
// Weights a second on one core: from INT8 codes to packed bits (mask, low set, packing), and back.
// docs/results/strum.md quotes it.
#include <cmath>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/rng.h"
#include "tessera/format/strum_codec.h"

namespace tessera::format {
namespace {

// A 3x3 convolution of 512 by 512 channels: 2.4 million weights, near a Gaussian with one weight of
// each output channel at the end of the range.
constexpr WeightShape kShape{.outputs = 512, .inputs = 512, .positions = 9};

std::vector<std::int8_t> layer() {
  Rng rng(1);
  std::vector<std::int8_t> codes;
  for (std::int64_t i = 0; i < kShape.count(); ++i) {
    const double x = std::nearbyint(30 * rng.normal());
    codes.push_back(static_cast<std::int8_t>(std::fmin(127, std::fmax(-127, x))));
  }
  return codes;
}

void encode(benchmark::State& state, const Strum& scheme) {
  const std::vector<std::int8_t> codes = layer();
  for (auto _ : state)
    benchmark::DoNotOptimize(strum_encode(codes, kShape, scheme));
  state.SetItemsProcessed(state.iterations() * kShape.count());
}

void decode(benchmark::State& state, const Strum& scheme) {
  const PackedWeights packed = strum_encode(layer(), kShape, scheme);
  for (auto _ : state)
    benchmark::DoNotOptimize(strum_decode(packed));
  state.SetItemsProcessed(state.iterations() * kShape.count());
}

}  // namespace
}  // namespace tessera::format

int main(int argc, char** argv) {
  using namespace tessera::format;
  for (const std::string text :
       {"sparsity", "sparsity,p=0.25", "sparsity,block=1x64", "dliq,grid=lsb", "dliq",
        "dliq,mask=l2", "dliq,grid=block,mask=l2", "mip2q", "mip2q,mask=magnitude", "mip2q,L=5",
        "mip2q,L=3", "mip2q,p=0.75", "mip2q,block=1x8", "mip2q,block=1x32", "mip2q,block=1x64",
        "mip2q,block=4x4"}) {
    const Strum scheme = parse_strum(text).value();
    benchmark::RegisterBenchmark(("encode/" + text).c_str(), encode, scheme);
  }
  benchmark::RegisterBenchmark("decode/mip2q", decode, parse_strum("mip2q").value());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
}
