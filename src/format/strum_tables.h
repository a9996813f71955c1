// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tessera/format/strum.h"

namespace tessera::format::detail {

// What becomes of each INT8 code in the low set, under one shift. Indexed by code + 128.
struct LowTable {
  std::array<std::int16_t, 256> value{};    // what it stands for afterwards
  std::array<std::uint8_t, 256> code{};     // low_code_bits() of it
  std::array<std::uint8_t, 256> error{};    // |code - value|, at most 128
  std::array<std::uint16_t, 256> square{};  // error²
};
// REQUIRES: shift is 0 but for Dliq.
LowTable low_table(const LowSet& low, int shift);

// Shifts that the scheme may use: [first, last].
struct ShiftRange {
  int first = 0;
  int last = 0;
};
ShiftRange shift_range(const LowSet& low);

// Values of all low codes under each shift of the range.
class LowValues {
 public:
  static constexpr std::int16_t kNone = INT16_MIN;  // of codes that do not occur
  explicit LowValues(const LowSet& low);
  // By code; REQUIRES: a shift in the range.
  const std::array<std::int16_t, 256>& at(int shift) const {
    return values_[static_cast<std::size_t>(shift - first_)];
  }

 private:
  int first_;
  std::vector<std::array<std::int16_t, 256>> values_;
};

constexpr std::size_t index_of(std::int8_t code) {
  return static_cast<std::size_t>(code + 128);
}

}  // namespace tessera::format::detail
