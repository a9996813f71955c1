// SPDX-License-Identifier: Apache-2.0
// Record layouts: PKWARE's APPNOTE.TXT 6.3.9, sections 4.3.7 to 4.3.16 and 4.5.3.
#include "zip.h"

#include <zlib.h>

#include <cstdint>
#include <limits>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "byte_reader.h"
#include "inflate.h"

namespace tessera::nn::detail {

namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryEntry = 0x02014b50;
constexpr std::uint32_t kDirectoryEnd = 0x06054b50;
constexpr std::uint32_t kDirectoryEnd64 = 0x06064b50;
constexpr std::uint32_t kLocator64 = 0x07064b50;
constexpr std::size_t kDirectoryEndSize = 22;
constexpr std::size_t kLocator64Size = 20;
constexpr std::size_t kLocalHeaderSize = 30;
constexpr std::uint32_t kIn64BitField = 0xffffffff;
constexpr std::uint16_t kExtra64 = 1;
constexpr std::uint16_t kEncrypted = 1;
constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflated = 8;

struct Entry {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t checksum = 0;
  std::uint64_t packed_size = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t offset = 0;
};

std::uint32_t checksum_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// The end record is last, but for a comment of up to 64 KiB behind it.
std::optional<std::size_t> find_directory_end(std::span<const std::byte> file) {
  constexpr std::size_t kLongestComment = 0xffff;
  if (file.size() < kDirectoryEndSize)
    return std::nullopt;
  const std::size_t last = file.size() - kDirectoryEndSize;
  const std::size_t first = last > kLongestComment ? last - kLongestComment : 0;
  for (std::size_t at = last + 1; at-- > first;) {
    if (ByteReader(file, at).u32() == kDirectoryEnd)
      return at;
  }
  return std::nullopt;
}

Directory read_directory_end(std::span<const std::byte> file, std::size_t end_at) {
  ByteReader end(file, end_at + 10);
  Directory directory;
  directory.entries = end.u16();
  end.skip(4);
  directory.offset = end.u32();
  if (end_at < kLocator64Size || ByteReader(file, end_at - kLocator64Size).u32() != kLocator64)
    return directory;
  ByteReader end64(file, ByteReader(file, end_at - kLocator64Size + 8).u64());
  if (end64.u32() != kDirectoryEnd64)
    return directory;
  end64.skip(28);
  directory.entries = end64.u64();
  end64.skip(8);
  directory.offset = end64.u64();
  return directory;
}

// Sizes that do not fit 32 bits stand in an extra field, in this order.
void read_extra(ByteReader extra, std::size_t size, Entry& entry) {
  const std::size_t end = extra.position() + size;
  while (extra.position() + 4 <= end) {
    const std::uint16_t id = extra.u16();
    const std::uint16_t length = extra.u16();
    ByteReader field = extra;
    extra.skip(length);
    if (id != kExtra64)
      continue;
    for (std::uint64_t* value : {&entry.size, &entry.packed_size, &entry.offset}) {
      if (*value == kIn64BitField)
        *value = field.u64();
    }
  }
}

Entry read_entry(ByteReader& reader) {
  if (reader.u32() != kDirectoryEntry)
    throw OutOfBytes();
  Entry entry;
  reader.skip(4);
  entry.flags = reader.u16();
  entry.method = reader.u16();
  reader.skip(4);
  entry.checksum = reader.u32();
  entry.packed_size = reader.u32();
  entry.size = reader.u32();
  const std::size_t name_size = reader.u16();
  const std::size_t extra_size = reader.u16();
  const std::size_t comment_size = reader.u16();
  reader.skip(8);
  entry.offset = reader.u32();
  entry.name = reader.text(name_size);
  const ByteReader extra = reader;
  reader.skip(extra_size);
  read_extra(extra, extra_size, entry);
  reader.skip(comment_size);
  return entry;
}

std::span<const std::byte> packed_bytes(std::span<const std::byte> file, const Entry& entry) {
  ByteReader local(file, entry.offset);
  if (local.u32() != kLocalHeader)
    throw OutOfBytes();
  ByteReader sizes(file, entry.offset + 26);
  const std::size_t name_size = sizes.u16();
  const std::size_t extra_size = sizes.u16();
  ByteReader data(file, entry.offset + kLocalHeaderSize);
  data.skip(name_size + extra_size);
  return data.bytes(entry.packed_size);
}

std::vector<std::byte> unpack(std::span<const std::byte> packed, const Entry& entry,
                              const std::string& where) {
  std::vector<std::byte> content;
  if (entry.method == kStored) {
    content.assign(packed.begin(), packed.end());
  } else if (entry.method == kDeflated) {
    auto inflated = inflate(packed, Compression::kRawDeflate, entry.size);
    if (!inflated)
      throw IoError(fmt::format("{}: {}", where, inflated.error()));
    content = std::move(*inflated);
  } else {
    throw IoError(fmt::format("{}: compression method {}; known: 0 (stored), 8 (deflate)", where,
                              entry.method));
  }
  if (content.size() != entry.size)
    throw IoError(
        fmt::format("{}: {} bytes, the directory says {}", where, content.size(), entry.size));
  if (checksum_of(content) != entry.checksum)
    throw IoError(fmt::format("{}: the checksum does not match, the file is damaged", where));
  return content;
}

}  // namespace

std::vector<ZipMember> read_zip(const std::filesystem::path& path) {
  const std::vector<std::byte> file = read_bytes(path);
  const auto end_at = find_directory_end(file);
  if (!end_at)
    throw IoError(fmt::format("{}: not a zip archive, or cut short", path.string()));
  std::vector<ZipMember> members;
  try {
    const Directory directory = read_directory_end(file, *end_at);
    ByteReader reader(file, directory.offset);
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      const Entry entry = read_entry(reader);
      const std::string where = fmt::format("{}: member '{}'", path.string(), entry.name);
      if ((entry.flags & kEncrypted) != 0)
        throw IoError(where + ": encrypted members cannot be read");
      members.push_back({entry.name, unpack(packed_bytes(file, entry), entry, where)});
    }
  } catch (const OutOfBytes&) {
    throw IoError(fmt::format("{}: damaged zip archive (member {} of its directory)", path.string(),
                              members.size() + 1));
  }
  return members;
}

std::vector<std::byte> make_zip(std::span<const ZipMember> members) {
  constexpr std::uint16_t kVersion = 20;
  // 1980-01-01: the same content gives the same bytes.
  constexpr std::uint16_t kDate = (1 << 5) | 1;
  ByteWriter file;
  ByteWriter directory;
  const auto checked = [](std::size_t size) {
    TESSERA_CHECK(size < std::numeric_limits<std::uint32_t>::max(), "{} bytes in an archive", size);
    return static_cast<std::uint32_t>(size);
  };
  // What local header and directory entry have in common.
  const auto describe = [&](ByteWriter& out, const ZipMember& member) {
    out.u16(kVersion).u16(0).u16(kStored).u16(0).u16(kDate).u32(checksum_of(member.content));
    out.u32(checked(member.content.size())).u32(checked(member.content.size()));
    out.u16(static_cast<std::uint16_t>(member.name.size())).u16(0);
  };
  for (const ZipMember& member : members) {
    const std::uint32_t offset = checked(file.size());
    file.u32(kLocalHeader);
    describe(file, member);
    file.text(member.name).bytes(member.content);
    directory.u32(kDirectoryEntry).u16(kVersion);
    describe(directory, member);
    directory.u16(0).u16(0).u16(0).u32(0).u32(offset).text(member.name);
  }
  const auto count = static_cast<std::uint16_t>(members.size());
  const std::uint32_t directory_at = checked(file.size());
  const std::uint32_t directory_size = checked(directory.size());
  file.bytes(directory.take());
  file.u32(kDirectoryEnd).u16(0).u16(0).u16(count).u16(count);
  file.u32(directory_size).u32(directory_at).u16(0);
  return file.take();
}

}  // namespace tessera::nn::detail
