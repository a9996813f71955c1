// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/types.h>

#include "tessera/core/rng.h"

namespace tessera::nn {

// A stream of random draws on one device. What a draw gives follows from a seed, the stream's key
// and the number of draws before it. Streams of different keys may share a seed, which is read on
// the device when the draw is made: work that was recorded with a stream draws other numbers once
// set_seed() has changed the seed in place.
class NoiseStream {
 public:
  NoiseStream() = default;  // draws nothing: next() is a bug
  NoiseStream(torch::Tensor seed, std::uint64_t key) : seed_(std::move(seed)), key_(key) {}
  // A stream with a seed of its own.
  NoiseStream(const Rng& rng, torch::Device device);

  // An int64 scalar on `device` that several streams may share.
  static torch::Tensor make_seed(torch::Device device);
  static void set_seed(const torch::Tensor& seed, const Rng& rng);

  struct Draw {
    const torch::Tensor& seed;  // int64 scalar
    std::uint64_t key = 0;      // of this draw alone
  };
  Draw next();
  // The next draw of a stream on the CPU as a seed for a generator of one's own.
  std::uint64_t next_seed();

 private:
  torch::Tensor seed_;
  std::uint64_t key_ = 0;
  std::uint64_t draws_ = 0;
};

}  // namespace tessera::nn
