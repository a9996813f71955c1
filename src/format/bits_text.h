// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace tessera::format {

// Decimal digits only, without sign or leading zero.
std::optional<int> parse_bits(std::string_view digits);
// 2 to 8 or 16.
bool is_integer_width(int bits);

}  // namespace tessera::format
