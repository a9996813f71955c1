// SPDX-License-Identifier: Apache-2.0
// The packed file of one layer; docs/strum.md has the table of its bytes.
#include <fmt/format.h>

#include <cstring>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

#include "bits_text.h"
#include "strum_reader.h"

namespace tessera::format {

namespace {

constexpr std::string_view kMagic = "STRM";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 40;
// Keeps every size below in 64 bits, and a broken header from asking for all memory.
constexpr std::int64_t kMostWeights = std::int64_t{1} << 40;

[[noreturn]] void fail(std::string_view what) {
  throw IoError(fmt::format("packed StruM weights: {}", what));
}

class Header {
 public:
  explicit Header(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t number(std::size_t at, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value |= std::to_integer<std::uint64_t>(bytes_[at + i]) << (8 * i);
    return value;
  }

  int checked(std::size_t at, std::size_t size, std::uint64_t low, std::uint64_t high,
              std::string_view what) const {
    const std::uint64_t value = number(at, size);
    if (value < low || value > high)
      fail(fmt::format("byte {}: {} is {}, allowed: {} to {}", at, what, value, low, high));
    return static_cast<int>(value);
  }

 private:
  std::span<const std::byte> bytes_;
};

class HeaderWriter {
 public:
  HeaderWriter() {
    for (const char c : kMagic)
      bytes_.push_back(static_cast<std::byte>(c));
  }
  void put(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// Bytes 6 to 9: low set, its parameter, its options, its mask.
void put_low_set(const LowSet& low, HeaderWriter& out) {
  out.put(low.index(), 1);
  const auto* dliq = std::get_if<Dliq>(&low);
  const auto* mip2q = std::get_if<Mip2q>(&low);
  if (dliq != nullptr) {
    out.put(static_cast<std::uint64_t>(dliq->bits), 1);
    out.put(static_cast<std::uint64_t>(dliq->grid), 1);
  } else if (mip2q != nullptr) {
    out.put(static_cast<std::uint64_t>(mip2q->max_shift), 1);
    out.put((mip2q->zero_code ? 1U : 0U) | (mip2q->plus_128 ? 2U : 0U), 1);
  } else {
    out.put(0, 2);
  }
  out.put(mask_of(low) == LowMask::kL2 ? 1 : 0, 1);
}

LowSet read_low_set(const Header& header) {
  const int kind = header.checked(6, 1, 0, 2, "the low set");
  const LowMask mask = header.checked(9, 1, 0, kind == 0 ? 0 : 1, "the mask") == 0
                           ? LowMask::kMagnitude
                           : LowMask::kL2;
  if (kind == 1) {
    return Dliq{.bits = header.checked(7, 1, 2, 7, "q"),
                .grid = static_cast<Dliq::Grid>(header.checked(8, 1, 0, 3, "the grid")),
                .mask = mask};
  }
  if (kind == 2) {
    const int options = header.checked(8, 1, 0, 3, "the options");
    return Mip2q{.max_shift = header.checked(7, 1, 0, 7, "L"),
                 .zero_code = (options & 1) != 0,
                 .plus_128 = (options & 2) != 0,
                 .mask = mask};
  }
  header.checked(7, 2, 0, 0, "the parameter");
  return Sparsity{};
}

Strum read_scheme(const Header& header) {
  Strum scheme;
  scheme.low = read_low_set(header);
  scheme.low_permille = header.checked(10, 2, 1, 1000, "p · 1000");
  scheme.block_rows = header.checked(12, 2, 1, kLargestStrumBlock, "the block's rows");
  scheme.block_columns = header.checked(14, 2, 1, kLargestStrumBlock, "the block's columns");
  if (scheme.block_rows * scheme.block_columns > kLargestStrumBlock)
    fail(fmt::format("byte 12: a block of {}x{}, allowed: {} weights", scheme.block_rows,
                     scheme.block_columns, kLargestStrumBlock));
  scheme.activation_bits = header.checked(17, 1, 2, 16, "the activations' bits");
  if (!is_integer_width(scheme.activation_bits))
    fail(fmt::format("byte 17: activations of {} bits, allowed: 2 to 8 or 16",
                     scheme.activation_bits));
  return scheme;
}

WeightShape read_shape(const Header& header) {
  const WeightShape shape{.outputs = static_cast<std::int64_t>(header.number(20, 4)),
                          .inputs = static_cast<std::int64_t>(header.number(24, 4)),
                          .positions = static_cast<std::int64_t>(header.number(28, 4))};
  // Divided, since products of what a broken file says may overflow.
  if (shape.outputs < 1 || shape.inputs < 1 || shape.positions < 1 ||
      shape.inputs > kMostWeights / shape.outputs ||
      shape.positions > kMostWeights / (shape.outputs * shape.inputs))
    fail(fmt::format("byte 20: {}x{}x{} weights, allowed: each at least 1, 2^40 in all",
                     shape.outputs, shape.inputs, shape.positions));
  return shape;
}

// Every block has its number of low weights, only codes that exist, and high padding.
void check_blocks(const PackedWeights& packed) {
  detail::BlockReader reader(packed);
  detail::BlockContent content;
  std::int64_t number = 0;
  const detail::LowValues low_values(packed.scheme.low);
  const detail::ShiftRange range = detail::shift_range(packed.scheme.low);
  detail::Blocks(packed.scheme, packed.shape).for_each([&](const detail::Block& block) {
    reader.read(block, content);
    const int expected = low_count(packed.scheme, block.weights());
    if (content.lows != expected)
      fail(fmt::format("block {}: {} low weights, allowed: {}", number, content.lows, expected));
    if (!content.padding_is_high)
      fail(fmt::format("block {}: a low weight beyond the layer's edge", number));
    if (content.shift < range.first || content.shift > range.last)
      fail(fmt::format("block {}: a shift of {}, allowed: {} to {}", number, content.shift,
                       range.first, range.last));
    const auto& values = low_values.at(content.shift);
    for (std::size_t i = 0; i < static_cast<std::size_t>(block.weights()); ++i) {
      if (content.is_low[i] != 0 && values[content.code[i]] == detail::LowValues::kNone)
        fail(fmt::format("block {}: the low code {} means nothing in {}", number, content.code[i],
                         to_string(packed.scheme)));
    }
    ++number;
  });
}

}  // namespace

std::vector<std::byte> write_packed(const PackedWeights& packed) {
  const Strum& scheme = packed.scheme;
  HeaderWriter header;
  header.put(kVersion, 2);
  put_low_set(scheme.low, header);
  header.put(static_cast<std::uint64_t>(scheme.low_permille), 2);
  header.put(static_cast<std::uint64_t>(scheme.block_rows), 2);
  header.put(static_cast<std::uint64_t>(scheme.block_columns), 2);
  header.put(static_cast<std::uint64_t>(packed.layer_shift), 1);
  header.put(static_cast<std::uint64_t>(scheme.activation_bits), 1);
  header.put(0, 2);
  header.put(static_cast<std::uint64_t>(packed.shape.outputs), 4);
  header.put(static_cast<std::uint64_t>(packed.shape.inputs), 4);
  header.put(static_cast<std::uint64_t>(packed.shape.positions), 4);
  header.put(packed.bits.size(), 8);
  std::vector<std::byte> bytes = std::move(header).take();
  TESSERA_CHECK(bytes.size() == kHeaderBytes, "a header of {} bytes", bytes.size());
  bytes.resize(kHeaderBytes + packed.bits.size());
  std::memcpy(bytes.data() + kHeaderBytes, packed.bits.data(), packed.bits.size());
  return bytes;
}

PackedWeights read_packed(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes)
    fail(fmt::format("{} bytes, allowed: {} and more", bytes.size(), kHeaderBytes));
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    fail("do not begin with 'STRM'");
  const Header header(bytes);
  if (header.number(4, 2) != kVersion)
    fail(fmt::format("version {}, allowed: {}", header.number(4, 2), kVersion));
  PackedWeights packed;
  packed.scheme = read_scheme(header);
  header.checked(18, 2, 0, 0, "the reserved number");
  packed.shape = read_shape(header);
  const detail::ShiftRange range = detail::shift_range(packed.scheme.low);
  const auto* dliq = std::get_if<Dliq>(&packed.scheme.low);
  const bool own = dliq != nullptr && dliq->grid == Dliq::Grid::kBlock;
  packed.layer_shift = header.checked(16, 1, own ? 0U : static_cast<unsigned>(range.first),
                                      own ? 0U : static_cast<unsigned>(range.last), "the shift");
  const std::int64_t bits = packed_bits(packed.scheme, packed.shape);
  const auto size = static_cast<std::uint64_t>((bits + 7) / 8);
  const std::span<const std::byte> payload = bytes.subspan(kHeaderBytes);
  if (header.number(32, 8) != size || payload.size() != size)
    fail(fmt::format("{} bytes behind the header, {} announced, allowed: {}", payload.size(),
                     header.number(32, 8), size));
  packed.bits.resize(size);
  std::memcpy(packed.bits.data(), payload.data(), size);
  if (bits % 8 != 0 && packed.bits.back() >> (bits % 8) != 0)
    fail("the bits behind the last block are not zero");
  check_blocks(packed);
  return packed;
}

}  // namespace tessera::format
