// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace tessera::format::detail {

// Bits one behind another, least significant first within a byte.
class BitWriter {
 public:
  explicit BitWriter(std::int64_t bits)
      : bytes_(static_cast<std::size_t>((bits + 7) / 8) + sizeof(std::uint64_t)) {}

  // REQUIRES: width ≤ 32, value < 2^width, no more bits in all than announced.
  void put(std::uint32_t value, int width) {
    held_ |= static_cast<std::uint64_t>(value) << fill_;
    fill_ += width;
    // Bytes behind the whole ones are written again with the next bits.
    for (int i = 0; i < 8; ++i)
      bytes_[at_ + static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(held_ >> (8 * i));
    const int whole = fill_ / 8;
    at_ += static_cast<std::size_t>(whole);
    held_ >>= 8 * whole;
    fill_ %= 8;
  }

  std::vector<std::uint8_t> finish() && {
    bytes_.resize(at_ + static_cast<std::size_t>(fill_ > 0));
    return std::move(bytes_);
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
  std::uint64_t held_ = 0;  // fewer than 8 bits between calls
  int fill_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  void seek(std::int64_t bit) { bit_ = bit; }
  std::int64_t position() const { return bit_; }

  // REQUIRES: width ≤ 32, the bits are there.
  std::uint32_t get(int width) {
    const auto first = static_cast<std::size_t>(bit_ / 8);
    std::uint64_t held = 0;
    if (first + sizeof(held) <= bytes_.size()) {
      for (std::size_t i = 0; i < sizeof(held); ++i)
        held |= static_cast<std::uint64_t>(bytes_[first + i]) << (8 * i);
    } else {
      for (std::size_t i = 0; first + i < bytes_.size(); ++i)
        held |= static_cast<std::uint64_t>(bytes_[first + i]) << (8 * i);
    }
    held >>= bit_ % 8;
    bit_ += width;
    return static_cast<std::uint32_t>(held & ((std::uint64_t{1} << width) - 1));
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::int64_t bit_ = 0;
};

}  // namespace tessera::format::detail
