// SPDX-License-Identifier: Apache-2.0
#include "inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "tessera/core/error.h"

namespace tessera::nn::detail {

namespace {

// zlib counts in 32 bits, so larger buffers are handed over in pieces.
uInt piece(std::size_t bytes) {
  return static_cast<uInt>(std::min<std::size_t>(bytes, std::numeric_limits<uInt>::max()));
}

struct Stream {
  z_stream z{};
  explicit Stream(Compression compression) {
    const int bits = compression == Compression::kGzip ? 16 + MAX_WBITS : -MAX_WBITS;
    TESSERA_CHECK(inflateInit2(&z, bits) == Z_OK, "zlib: {}", z.msg != nullptr ? z.msg : "?");
  }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

}  // namespace

tl::expected<std::vector<std::byte>, std::string> inflate(std::span<const std::byte> input,
                                                          Compression compression,
                                                          std::size_t limit) {
  constexpr std::size_t kFirstBuffer = 1 << 16;
  Stream stream(compression);
  z_stream& z = stream.z;
  // One byte more than allowed: zlib sees the end of a stream only when it has room left.
  const std::size_t capacity = limit + 1;
  std::vector<std::byte> output(std::min(capacity, std::max(kFirstBuffer, input.size() * 4)));
  std::size_t read = 0;
  std::size_t written = 0;
  while (true) {
    if (written == output.size()) {
      if (written == capacity)
        return tl::unexpected(fmt::format("holds more than {} bytes", limit));
      output.resize(std::min(capacity, output.size() * 2));
    }
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data() + read));
    z.avail_in = piece(input.size() - read);
    z.next_out = reinterpret_cast<Bytef*>(output.data() + written);
    z.avail_out = piece(output.size() - written);
    const uInt given = z.avail_in;
    const uInt room = z.avail_out;
    const int status = ::inflate(&z, Z_NO_FLUSH);
    read += given - z.avail_in;
    written += room - z.avail_out;
    if (status == Z_STREAM_END)
      break;
    if (status == Z_BUF_ERROR || (status == Z_OK && read == input.size() && z.avail_out > 0))
      return tl::unexpected(std::string("compressed data ends too early"));
    if (status != Z_OK)
      return tl::unexpected(
          fmt::format("damaged compressed data ({})", z.msg != nullptr ? z.msg : zError(status)));
  }
  if (written > limit)
    return tl::unexpected(fmt::format("holds more than {} bytes", limit));
  output.resize(written);
  return output;
}

}  // namespace tessera::nn::detail
