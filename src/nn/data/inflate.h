// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/expected.h"

namespace tessera::nn::detail {

enum class Compression { kGzip, kRawDeflate };

// Decompresses a whole stream; the error says what is wrong with it. No more than `limit` bytes are
// produced, so that a small file cannot fill the memory.
tl::expected<std::vector<std::byte>, std::string> inflate(std::span<const std::byte> input,
                                                          Compression compression,
                                                          std::size_t limit);

}  // namespace tessera::nn::detail
