// SPDX-License-Identifier: Apache-2.0
// Packed StruM weights are read or refused with IoError; what is read is whole: it decodes, and
// writes back to the same bytes.
#include <cstdint>
#include <cstdlib>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  PackedWeights packed;
  try {
    packed = read_packed(bytes);
  } catch (const tessera::IoError&) {
    return 0;
  }
  const std::vector<std::byte> again = write_packed(packed);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()))
    std::abort();
  const std::vector<std::int16_t> values = strum_decode(packed);
  const std::vector<std::int32_t> ones(
      static_cast<std::size_t>(packed.shape.inputs * packed.shape.positions), 1);
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < ones.size(); ++i)
    sum += values[i];
  if (strum_dot(packed, 0, ones) != sum)
    std::abort();
  return 0;
}
