// SPDX-License-Identifier: Apache-2.0
#include "strum_tables.h"

#include <algorithm>
#include <cstdlib>

namespace tessera::format::detail {

namespace {

struct Low {
  int value = 0;
  int code = 0;
};

// w / 2^shift, half to even.
int divide_half_even(int w, int shift) {
  const int floor = w >> shift;
  const int rest = w - (floor << shift);
  const int half = shift == 0 ? 1 : 1 << (shift - 1);
  return floor + static_cast<int>(rest > half || (rest == half && shift > 0 && floor % 2 != 0));
}

Low low_of(const Sparsity&, int, int) {
  return {};
}

Low low_of(const Dliq& dliq, int w, int shift) {
  const int limit = 1 << (dliq.bits - 1);
  const int code = std::clamp(divide_half_even(w, shift), -limit, limit - 1);
  return {code * (1 << shift), code & (2 * limit - 1)};
}

Low low_of(const Mip2q& mip2q, int w, int) {
  const int q = low_code_bits(mip2q);
  if (w == 0 && mip2q.zero_code)
    return {0, mip2q.max_shift + 1};
  const bool negative = w < 0;
  const int magnitude = std::abs(w);
  // The nearest power of two; on a tie the smaller one stays.
  int best = 0;
  for (int k = 1; k <= mip2q.max_shift; ++k) {
    if (k == 7 && !negative && !mip2q.plus_128)
      break;
    if (std::abs(magnitude - (1 << k)) < std::abs(magnitude - (1 << best)))
      best = k;
  }
  return {negative ? -(1 << best) : 1 << best, best | (negative ? 1 << (q - 1) : 0)};
}

Low low_of(const LowSet& low, int w, int shift) {
  return std::visit([&](const auto& held) { return low_of(held, w, shift); }, low);
}

}  // namespace

LowTable low_table(const LowSet& low, int shift) {
  LowTable table;
  for (int w = -128; w < 128; ++w) {
    const Low replaced = low_of(low, w, shift);
    const auto i = static_cast<std::size_t>(w + 128);
    const int error = std::abs(w - replaced.value);
    table.value[i] = static_cast<std::int16_t>(replaced.value);
    table.code[i] = static_cast<std::uint8_t>(replaced.code);
    table.error[i] = static_cast<std::uint8_t>(error);
    table.square[i] = static_cast<std::uint16_t>(error * error);
  }
  return table;
}

LowValues::LowValues(const LowSet& low) : first_(shift_range(low).first) {
  for (int s = first_; s <= shift_range(low).last; ++s) {
    auto& values = values_.emplace_back();
    values.fill(kNone);
    for (int w = -128; w < 128; ++w) {
      const Low replaced = low_of(low, w, s);
      values[static_cast<std::size_t>(replaced.code)] = static_cast<std::int16_t>(replaced.value);
    }
  }
}

ShiftRange shift_range(const LowSet& low) {
  const auto* dliq = std::get_if<Dliq>(&low);
  if (dliq == nullptr || dliq->grid == Dliq::Grid::kLsb)
    return {};
  const int most = 8 - dliq->bits;
  return {dliq->grid == Dliq::Grid::kMsb ? most : 0, most};
}

}  // namespace tessera::format::detail
