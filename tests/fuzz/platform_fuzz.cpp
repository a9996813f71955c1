// SPDX-License-Identifier: Apache-2.0
// The reader of hardware descriptions on broken input: a text loads or ends in tessera::Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/core/error.h"
#include "tessera/hw/read_platform.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    (void)tessera::hw::parse_platform({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  } catch (const tessera::Error&) {
  }
  return 0;
}
