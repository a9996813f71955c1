// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <limits>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

#include "strum_reader.h"

namespace tessera::format {

std::vector<std::int16_t> strum_decode(const PackedWeights& packed) {
  std::vector<std::int16_t> values(static_cast<std::size_t>(packed.shape.count()));
  detail::BlockReader reader(packed);
  const detail::LowValues low_values(packed.scheme.low);
  const detail::Blocks blocks(packed.scheme, packed.shape);
  detail::BlockContent content;
  blocks.for_each([&](const detail::Block& block) {
    reader.read(block, content);
    const auto& decoded = low_values.at(content.shift);
    std::size_t i = 0;
    for (int r = 0; r < block.rows; ++r) {
      for (int c = 0; c < block.columns; ++c, ++i) {
        values[static_cast<std::size_t>(blocks.index(block, r, c))] =
            content.is_low[i]
                ? decoded[content.code[i]]
                : static_cast<std::int16_t>(static_cast<std::int8_t>(content.code[i]));
      }
    }
  });
  return values;
}

std::vector<std::uint8_t> strum_low_mask(const PackedWeights& packed) {
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(packed.shape.count()));
  detail::BlockReader reader(packed);
  const detail::Blocks blocks(packed.scheme, packed.shape);
  detail::BlockContent content;
  blocks.for_each([&](const detail::Block& block) {
    reader.read(block, content);
    std::size_t i = 0;
    for (int r = 0; r < block.rows; ++r) {
      for (int c = 0; c < block.columns; ++c)
        mask[static_cast<std::size_t>(blocks.index(block, r, c))] = content.is_low[i++];
    }
  });
  return mask;
}

namespace {

// One low weight times x, with a shifter or a narrow multiplier alone.
class LowProduct {
 public:
  explicit LowProduct(const LowSet& low) : low_(&low), q_(low_code_bits(low)) {}

  std::int64_t operator()(std::uint8_t code, int shift, std::int32_t x) const {
    return std::visit([&](const auto& held) { return of(held, code, shift, x); }, *low_);
  }

 private:
  std::int64_t of(const Sparsity&, std::uint8_t, int, std::int32_t) const { return 0; }
  // A q-bit multiplier, and the grid's shift behind it.
  std::int64_t of(const Dliq&, std::uint8_t code, int shift, std::int32_t x) const {
    const int sign = 1 << (q_ - 1);
    const int narrow = (code ^ sign) - sign;
    return static_cast<std::int64_t>(narrow * static_cast<std::int64_t>(x)) << shift;
  }
  // A shifter.
  std::int64_t of(const Mip2q& mip2q, std::uint8_t code, int, std::int32_t x) const {
    const int sign = 1 << (q_ - 1);
    const int exponent = code & (sign - 1);
    if (exponent > mip2q.max_shift)
      return 0;  // the zero code
    const std::int64_t shifted = static_cast<std::int64_t>(x) << exponent;
    return (code & sign) != 0 ? -shifted : shifted;
  }

  const LowSet* low_;
  int q_;
};

}  // namespace

std::int64_t strum_dot(const PackedWeights& packed, std::int64_t output,
                       std::span<const std::int32_t> x) {
  const WeightShape& shape = packed.shape;
  TESSERA_CHECK(output >= 0 && output < shape.outputs, "output {} of {}", output, shape.outputs);
  TESSERA_CHECK(static_cast<std::int64_t>(x.size()) == shape.inputs * shape.positions,
                "{} activations for {} inputs at {} positions", x.size(), shape.inputs,
                shape.positions);
  const int rows = packed.scheme.block_rows;
  const std::int64_t first = output / rows * rows;
  detail::BlockReader reader(packed);
  reader.seek_row(first);
  const LowProduct low(packed.scheme.low);
  const detail::Blocks blocks(packed.scheme, shape);
  const std::int64_t row_size = shape.inputs * shape.positions;
  detail::BlockContent content;
  std::int64_t sum = 0;
  blocks.for_each_of_rows(first, [&](const detail::Block& block) {
    reader.read(block, content);
    const auto r = static_cast<int>(output - first);
    for (int c = 0; c < block.columns; ++c) {
      const auto i = static_cast<std::size_t>(r * block.columns + c);
      const std::int32_t activation =
          x[static_cast<std::size_t>(blocks.index(block, r, c) - output * row_size)];
      const std::uint8_t code = content.code[i];
      sum += content.is_low[i]
                 ? low(code, content.shift, activation)
                 : static_cast<std::int64_t>(static_cast<std::int8_t>(code)) * activation;
    }
  });
  return sum;
}

int accumulator_bits(std::int64_t products, std::int64_t largest_activation) {
  TESSERA_CHECK(products >= 0 && largest_activation >= 0 &&
                    products <= INT64_MAX / 128 / std::max<std::int64_t>(largest_activation, 1),
                "{} products of activations up to {}", products, largest_activation);
  const auto largest = static_cast<std::uint64_t>(products * 128 * largest_activation);
  return std::bit_width(largest) + 1;
}

StrumNoise& StrumNoise::operator+=(const StrumNoise& other) {
  signal += other.signal;
  noise += other.noise;
  return *this;
}

double StrumNoise::sqnr_db() const {
  if (noise == 0)
    return std::numeric_limits<double>::infinity();
  return 10 * std::log10(static_cast<double>(signal) / static_cast<double>(noise));
}

StrumNoise strum_noise(std::span<const std::int8_t> codes, std::span<const std::int16_t> values) {
  TESSERA_CHECK(codes.size() == values.size(), "{} codes, {} values", codes.size(), values.size());
  StrumNoise sum;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const int error = codes[i] - values[i];
    sum.signal += codes[i] * codes[i];
    sum.noise += error * error;
  }
  return sum;
}

}  // namespace tessera::format
