// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/rng.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "tessera/core/error.h"

namespace tessera {
namespace {

// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection that spreads every input bit.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

Rng::Rng(std::uint64_t seed) : key_(seed), state_{} {
  std::uint64_t x = seed;
  for (std::uint64_t& word : state_) {
    x = mix(x);
    word = x;
  }
}

Rng Rng::split(std::string_view name) const {
  std::uint64_t key = mix(key_ ^ 0x6e616d65ULL);
  for (const char c : name)
    key = mix(key ^ static_cast<unsigned char>(c));
  return Rng(mix(key ^ name.size()));
}

Rng Rng::split(std::uint64_t index) const {
  return Rng(mix(mix(key_ ^ 0x696e646578ULL) ^ index));
}

std::uint64_t Rng::next_u64() {
  // xoshiro256++ 1.0 (Blackman and Vigna 2019).
  const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Rng::uniform() {
  return static_cast<double>(next_u64() >> 11) * 0x1.0p-53;
}

double Rng::normal() {
  // Box-Muller; the second value is not kept, so that a copy of the stream is just its state.
  const double u = 1.0 - uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t Rng::below(std::uint64_t n) {
  TESSERA_CHECK(n > 0, "below(0)");
  const std::uint64_t limit = UINT64_MAX - (UINT64_MAX % n + 1) % n;
  std::uint64_t draw = next_u64();
  while (draw > limit)
    draw = next_u64();
  return draw % n;
}

}  // namespace tessera
