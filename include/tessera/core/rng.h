// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace tessera {

// A stream of random numbers as a value: copying it copies the stream. Streams for different
// purposes are split off by name or index, so that adding a draw in one place changes nothing
// elsewhere:
//
//   Rng chips = Rng(seed).split("chips").split(chip_index);
//
// split() depends on the key alone, not on how many numbers were drawn. The generator is
// xoshiro256++ seeded through SplitMix64; output is the same on every platform (normal() up to the
// last bit of the C library's log and sincos).
class Rng {
 public:
  explicit Rng(std::uint64_t seed);

  Rng split(std::string_view name) const;
  Rng split(std::uint64_t index) const;

  std::uint64_t next_u64();
  // Uniform in [0, 1), 53 random bits.
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Standard normal.
  double normal();
  // Uniform in [0, n), without modulo bias. REQUIRES: n > 0.
  std::uint64_t below(std::uint64_t n);

  template <typename T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      using std::swap;
      swap(items[i - 1], items[below(i)]);
    }
  }

 private:
  std::uint64_t key_;
  std::array<std::uint64_t, 4> state_;
};

}  // namespace tessera
