// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

#include "bit_stream.h"
#include "strum_blocks.h"
#include "strum_select.h"
#include "strum_tables.h"

namespace tessera::format {

namespace {

using detail::Block;
using detail::Blocks;
using detail::index_of;
using detail::LowTable;

using Codes = std::array<std::int8_t, kLargestStrumBlock>;

// What a mask sorts a block's codes by, indexed by code + 128.
using KeyTable = std::array<std::int8_t, 256>;

KeyTable magnitude_keys() {
  KeyTable keys{};
  for (int w = -128; w < 128; ++w)
    keys[static_cast<std::size_t>(w + 128)] =
        static_cast<std::int8_t>((w < 0 ? -w : w) - detail::kKeyOffset);
  return keys;
}

KeyTable error_keys(const LowTable& table) {
  KeyTable keys{};
  for (std::size_t i = 0; i < keys.size(); ++i)
    keys[i] = static_cast<std::int8_t>(table.error[i] - detail::kKeyOffset);
  return keys;
}

// Also of up to 15 codes behind the weights.
void look_up(const KeyTable& table, const Codes& codes, int weights, detail::Keys& keys) {
  // Sixteen keys are put together in registers: a processor waits long for bytes that were stored
  // one by one and are loaded as one vector.
  typedef std::uint64_t Sixteen __attribute__((vector_size(16)));
  const auto eight = [&](std::size_t first) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      const auto key = static_cast<std::uint8_t>(table[index_of(codes[first + i])]);
      bits |= static_cast<std::uint64_t>(key) << (8 * i);
    }
    return bits;
  };
  for (std::size_t i = 0; i < static_cast<std::size_t>(weights); i += 16) {
    const Sixteen both = {eight(i), eight(i + 8)};
    std::memcpy(keys.data() + i, &both, sizeof(both));
  }
}

// Under one shift: the tables, and the keys of the mask.
struct Shifted {
  LowTable low;
  KeyTable keys;
};

class Encoder {
 public:
  // An empty mask: the scheme's.
  Encoder(std::span<const std::int8_t> codes, std::span<const std::uint8_t> mask,
          const WeightShape& shape, const Strum& scheme)
      : codes_(codes),
        mask_(mask),
        shape_(shape),
        scheme_(scheme),
        blocks_(scheme, shape),
        range_(detail::shift_range(scheme.low)),
        q_(low_code_bits(scheme.low)),
        whole_block_(scheme.block_rows * scheme.block_columns),
        whole_lows_(low_count(scheme, whole_block_)),
        one_low_set_(!mask.empty() || mask_of(scheme.low) == LowMask::kMagnitude) {
    const KeyTable magnitudes = magnitude_keys();
    for (int s = range_.first; s <= range_.last; ++s) {
      const LowTable low = detail::low_table(scheme.low, s);
      shifted_.push_back({low, one_low_set_ ? magnitudes : error_keys(low)});
    }
    const auto* dliq = std::get_if<Dliq>(&scheme.low);
    per_block_ = dliq != nullptr && dliq->grid == Dliq::Grid::kBlock;
  }

  PackedWeights run() {
    PackedWeights packed{.scheme = scheme_, .shape = shape_, .layer_shift = 0, .bits = {}};
    if (!per_block_)
      packed.layer_shift = layer_shift();
    detail::BitWriter out(packed_bits(scheme_, shape_));
    Codes codes{};
    detail::Keys keys{};
    detail::LowFlags flags;
    blocks_.for_each([&](const Block& block) {
      blocks_.gather(codes_.data(), block, codes);
      int shift = packed.layer_shift;
      if (per_block_)
        shift = block_shift(block, codes, keys, flags);
      else
        select(shift, block, codes, keys, flags);
      write(block, shift, codes, flags, out);
    });
    packed.bits = std::move(out).finish();
    return packed;
  }

 private:
  const Shifted& at_shift(int shift) const {
    return shifted_[static_cast<std::size_t>(shift - range_.first)];
  }

  int lows_of(int weights) const {
    return weights == whole_block_ ? whole_lows_ : low_count(scheme_, weights);
  }

  void select(int shift, const Block& block, const Codes& codes, detail::Keys& keys,
              detail::LowFlags& flags) const {
    const int weights = block.weights();
    if (!mask_.empty()) {
      blocks_.gather(mask_.data(), block, flags);
      const auto low = std::count(flags.begin(), flags.begin() + weights, std::uint8_t{1});
      TESSERA_CHECK(low == lows_of(weights), "{} low weights in a block of {}", low, weights);
      return;
    }
    look_up(at_shift(shift).keys, codes, weights, keys);
    detail::select_low(keys, weights, lows_of(weights), flags);
  }

  std::int64_t squared_error(int shift, const Codes& codes, int weights, const detail::Keys& keys,
                             const detail::LowFlags& flags) const {
    if (!one_low_set_)  // the keys are the errors
      return detail::low_square_sum(keys, flags, weights);
    std::int32_t sum = 0;
    const auto count = static_cast<std::size_t>(weights);
    const LowTable& low = at_shift(shift).low;
    for (std::size_t i = 0; i < count; ++i)
      sum += flags[i] * low.square[index_of(codes[i])];
    return sum;
  }

  // The least shift of least squared error, and its low set.
  int block_shift(const Block& block, const Codes& codes, detail::Keys& keys,
                  detail::LowFlags& flags) const {
    const int weights = block.weights();
    int best = range_.first;
    std::int64_t least = INT64_MAX;
    detail::LowFlags tried;
    for (int s = range_.first; s <= range_.last && least > 0; ++s) {
      if (!one_low_set_ || s == range_.first)
        select(s, block, codes, keys, tried);
      const std::int64_t error = squared_error(s, codes, weights, keys, tried);
      if (error < least) {
        least = error;
        best = s;
        std::copy_n(tried.begin(), weights, flags.begin());
      }
    }
    return best;
  }

  int layer_shift() const {
    if (range_.first == range_.last)
      return range_.first;
    return one_low_set_ ? shift_of_magnitudes() : shift_of_errors();
  }

  // The low set does not depend on the shift: how often each code is low says all.
  int shift_of_magnitudes() const {
    std::array<std::int64_t, 256> count{};
    Codes codes{};
    detail::Keys keys{};
    detail::LowFlags flags;
    blocks_.for_each([&](const Block& block) {
      blocks_.gather(codes_.data(), block, codes);
      select(range_.first, block, codes, keys, flags);
      for (int i = 0; i < block.weights(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        count[index_of(codes[at])] += flags[at];
      }
    });
    int best = range_.first;
    std::int64_t least = INT64_MAX;
    for (int s = range_.first; s <= range_.last; ++s) {
      std::int64_t error = 0;
      for (std::size_t i = 0; i < count.size(); ++i)
        error += count[i] * at_shift(s).low.square[i];
      if (error < least) {
        least = error;
        best = s;
      }
    }
    return best;
  }

  // Every shift has a low set of its own. A tenth of the blocks tells which shift is promising; it
  // is measured first, and another is given up as soon as its error exceeds the least so far.
  int shift_of_errors() const {
    int guess = range_.first;
    std::int64_t guess_error = INT64_MAX;
    for (int s = range_.first; s <= range_.last; ++s) {
      const std::int64_t error = error_of_shift(s, 10, guess_error);
      if (error < guess_error) {
        guess_error = error;
        guess = s;
      }
    }
    int best = guess;
    std::int64_t least = error_of_shift(guess, 1, INT64_MAX);
    for (int s = range_.first; s <= range_.last; ++s) {
      if (s == guess)
        continue;
      const std::int64_t error = error_of_shift(s, 1, least);
      if (error < least || (error == least && s < best)) {
        least = error;
        best = s;
      }
    }
    return best;
  }

  // Squared error of every `stride`-th block; something above `limit` where it exceeds that.
  std::int64_t error_of_shift(int shift, int stride, std::int64_t limit) const {
    Codes codes{};
    detail::Keys keys{};
    detail::LowFlags flags;
    std::int64_t error = 0;
    int skip = 0;
    blocks_.for_each([&](const Block& block) {
      if (error > limit)
        return;
      if (skip-- > 0)
        return;
      skip = stride - 1;
      blocks_.gather(codes_.data(), block, codes);
      select(shift, block, codes, keys, flags);
      error += squared_error(shift, codes, block.weights(), keys, flags);
    });
    return error;
  }

  void write(const Block& block, int shift, const Codes& codes, const detail::LowFlags& flags,
             detail::BitWriter& out) const {
    write_mask(block, flags, out);
    if (per_block_)
      out.put(static_cast<std::uint32_t>(shift), 3);
    const LowTable& low = at_shift(shift).low;
    // Both kinds are stored at every step and kept by moving on: branches would be mispredicted.
    std::array<std::uint8_t, kLargestStrumBlock + 4> high_values;
    std::array<std::uint8_t, kLargestStrumBlock + 4> low_codes;
    std::size_t highs = 0;
    std::size_t lows = 0;
    const auto weights = static_cast<std::size_t>(block.weights());
    for (std::size_t i = 0; i < weights; ++i) {
      high_values[highs] = static_cast<std::uint8_t>(codes[i]);
      low_codes[lows] = low.code[index_of(codes[i])];
      lows += flags[i];
      highs += 1U - flags[i];
    }
    put_all(high_values.data(), highs, 8, out);
    if (q_ > 0)
      put_all(low_codes.data(), lows, q_, out);
  }

  static void put_all(const std::uint8_t* values, std::size_t count, int width,
                      detail::BitWriter& out) {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
      std::uint32_t four = 0;
      for (std::size_t j = 0; j < 4; ++j)
        four |= static_cast<std::uint32_t>(values[i + j]) << (static_cast<int>(j) * width);
      out.put(four, 4 * width);
    }
    for (; i < count; ++i)
      out.put(values[i], width);
  }

  // A bit for every place of a whole block, 0 where a low weight stands.
  void write_mask(const Block& block, const detail::LowFlags& flags, detail::BitWriter& out) const {
    const int places = scheme_.block_rows * scheme_.block_columns;
    if (block.columns == scheme_.block_columns && places % 8 == 0) {
      // Eight flags at a time. Rows that are not there have flag 0 and so bit 1.
      for (int i = 0; i < places; i += 8) {
        std::uint64_t eight = 0;
        for (std::size_t j = 0; j < 8; ++j) {
          const auto at = static_cast<std::size_t>(i) + j;
          eight |= static_cast<std::uint64_t>(
                       at < static_cast<std::size_t>(block.weights()) ? flags[at] : std::uint8_t{0})
                   << (8 * j);
        }
        // Bit 8j of the factor's product lands in bit 56 + j.
        out.put(static_cast<std::uint32_t>(0xFF & ~((eight * 0x0102040810204080U) >> 56)), 8);
      }
      return;
    }
    int i = 0;
    for (int r = 0; r < scheme_.block_rows; ++r) {
      for (int c = 0; c < scheme_.block_columns; ++c) {
        const bool is_low =
            r < block.rows && c < block.columns && flags[static_cast<std::size_t>(i++)] != 0;
        out.put(is_low ? 0 : 1, 1);
      }
    }
  }

  std::span<const std::int8_t> codes_;
  std::span<const std::uint8_t> mask_;
  WeightShape shape_;
  Strum scheme_;
  Blocks blocks_;
  detail::ShiftRange range_;
  int q_;
  int whole_block_;  // weights, and low ones among them: nearly all blocks are whole
  int whole_lows_;
  bool one_low_set_;  // under every shift
  bool per_block_ = false;
  std::vector<Shifted> shifted_;  // one for each shift of the range
};

}  // namespace

PackedWeights strum_encode(std::span<const std::int8_t> codes, const WeightShape& shape,
                           const Strum& scheme) {
  TESSERA_CHECK(static_cast<std::int64_t>(codes.size()) == shape.count(), "{} codes for {} weights",
                codes.size(), shape.count());
  return Encoder(codes, {}, shape, scheme).run();
}

PackedWeights strum_encode_masked(std::span<const std::int8_t> codes,
                                  std::span<const std::uint8_t> low_mask, const WeightShape& shape,
                                  const Strum& scheme) {
  TESSERA_CHECK(
      static_cast<std::int64_t>(codes.size()) == shape.count() && low_mask.size() == codes.size(),
      "{} codes and a mask of {} for {} weights", codes.size(), low_mask.size(), shape.count());
  return Encoder(codes, low_mask, shape, scheme).run();
}

}  // namespace tessera::format
