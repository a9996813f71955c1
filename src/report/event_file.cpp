// SPDX-License-Identifier: Apache-2.0
// Formats: tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, of which a
// few fields are needed; tensorflow/core/lib/io/record_writer.h.
#include "tessera/report/event_file.h"

#include <array>
#include <cstdint>
#include <cstring>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace tessera::report {
namespace {

using google::protobuf::io::CodedOutputStream;

// Field numbers and types, as a tag of the wire format holds them.
constexpr std::uint32_t field(std::uint32_t number, std::uint32_t type) {
  return number << 3 | type;
}
constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

constexpr std::uint32_t kEventWallTime = field(1, kFixed64);
constexpr std::uint32_t kEventStep = field(2, kVarint);
constexpr std::uint32_t kEventFileVersion = field(3, kBytes);
constexpr std::uint32_t kEventSummary = field(5, kBytes);
constexpr std::uint32_t kSummaryValue = field(1, kBytes);
constexpr std::uint32_t kValueTag = field(1, kBytes);
constexpr std::uint32_t kValueSimple = field(2, kFixed32);

template <typename Write>
std::string message(const Write& write) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    CodedOutputStream out(&stream);
    write(out);
  }
  return bytes;
}

void put_bytes(CodedOutputStream& out, std::uint32_t tag, std::string_view bytes) {
  out.WriteTag(tag);
  out.WriteVarint32(static_cast<std::uint32_t>(bytes.size()));
  out.WriteRaw(bytes.data(), static_cast<int>(bytes.size()));
}

void put_wall_time(CodedOutputStream& out) {
  out.WriteTag(kEventWallTime);
  out.WriteLittleEndian64(0);  // 0.0
}

std::string scalar_event(const plan::TracePoint& point) {
  const std::string value = message([&](CodedOutputStream& out) {
    put_bytes(out, kValueTag, point.phase + "/" + point.quantity);
    const auto simple = static_cast<float>(point.value);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &simple, sizeof bits);
    out.WriteTag(kValueSimple);
    out.WriteLittleEndian32(bits);
  });
  const std::string summary =
      message([&](CodedOutputStream& out) { put_bytes(out, kSummaryValue, value); });
  return message([&](CodedOutputStream& out) {
    put_wall_time(out);
    out.WriteTag(kEventStep);
    out.WriteVarint64(static_cast<std::uint64_t>(point.step));
    put_bytes(out, kEventSummary, summary);
  });
}

// CRC-32C (Castagnoli), reflected: RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    constexpr std::uint32_t kPolynomial = 0x82f63b78;
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      table[i] = i;
      for (int bit = 0; bit < 8; ++bit)
        table[i] = table[i] >> 1 ^ ((table[i] & 1) != 0 ? kPolynomial : 0);
    }
    return table;
  }();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes)
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xff];
  return ~crc;
}

// Masked, so that a checksum over data that holds checksums stays one.
std::uint32_t masked_crc(std::string_view bytes) {
  constexpr std::uint32_t kMask = 0xa282ead8;
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + kMask;
}

std::string record(std::string_view content) {
  const std::string length = message(
      [&](CodedOutputStream& out) { out.WriteLittleEndian64(std::uint64_t{content.size()}); });
  return message([&](CodedOutputStream& out) {
    out.WriteString(length);
    out.WriteLittleEndian32(masked_crc(length));
    out.WriteRaw(content.data(), static_cast<int>(content.size()));
    out.WriteLittleEndian32(masked_crc(content));
  });
}

}  // namespace

std::string event_file(std::span<const plan::TracePoint> points) {
  std::string file = record(message([](CodedOutputStream& out) {
    put_wall_time(out);
    put_bytes(out, kEventFileVersion, "brain.Event:2");
  }));
  for (const plan::TracePoint& point : points)
    file += record(scalar_event(point));
  return file;
}

}  // namespace tessera::report
