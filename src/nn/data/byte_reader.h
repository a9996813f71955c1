// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::nn::detail {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

// Thrown by ByteReader at the end of its bytes; readers turn it into an IoError with the place.
class OutOfBytes : public std::exception {};

// Reads little-endian numbers one after the other.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::size_t position)
      : bytes_(bytes), position_(position) {}

  std::size_t position() const { return position_; }
  void skip(std::size_t n) { bytes(n); }
  std::span<const std::byte> bytes(std::size_t n) {
    if (position_ > bytes_.size() || n > bytes_.size() - position_)
      throw OutOfBytes();
    position_ += n;
    return bytes_.subspan(position_ - n, n);
  }
  std::string text(std::size_t n) {
    const auto chars = bytes(n);
    return {reinterpret_cast<const char*>(chars.data()), n};
  }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }

 private:
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::span<const std::byte> bytes_;
  std::size_t position_;
};

// Writes little-endian numbers one after the other.
class ByteWriter {
 public:
  explicit ByteWriter(std::size_t expected = 0) { bytes_.reserve(expected); }
  ByteWriter& u16(std::uint16_t value) { return number(value); }
  ByteWriter& u32(std::uint32_t value) { return number(value); }
  ByteWriter& u64(std::uint64_t value) { return number(value); }
  ByteWriter& text(std::string_view text) { return bytes(std::as_bytes(std::span(text))); }
  ByteWriter& bytes(std::span<const std::byte> more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  template <typename T>
  ByteWriter& number(T value) {
    return bytes(std::as_bytes(std::span(&value, 1)));
  }

  std::vector<std::byte> bytes_;
};

}  // namespace tessera::nn::detail
