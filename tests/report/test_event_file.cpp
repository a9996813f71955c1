// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tessera/report/event_file.h"

namespace tessera::report {
namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<std::uint8_t>(byte) >> 4];
    text += kDigits[static_cast<std::uint8_t>(byte) & 0xf];
  }
  return text;
}

// Length 24, its checksum, the content, its checksum: what TensorFlow writes at the start of each
// file but for the time. The checksums are those of the package tensorboard's own
// masked_crc32c().
TEST(EventFile, BeginsWithItsVersion) {
  EXPECT_EQ(hex(event_file({})),
            "1800000000000000"
            "a37f4b22"
            "090000000000000000"
            "1a0d627261696e2e4576656e743a32"
            "eedf28a3");
}

TEST(EventFile, HoldsEachPointAsAScalar) {
  const std::vector<plan::TracePoint> points{
      {.phase = "tune", .step = 300, .quantity = "loss", .value = 0.5}};
  EXPECT_EQ(hex(event_file(points)).substr(hex(event_file({})).size()),
            "2000000000000000"
            "29eda950"
            "090000000000000000"  // wall_time
            "10ac02"              // step
            "2a12"                // summary
            "0a10"                // value
            "0a0974756e652f6c6f7373"
            "150000003f"
            "a9dfeb73");
}

}  // namespace
}  // namespace tessera::report
