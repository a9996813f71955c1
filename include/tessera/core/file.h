// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// Whole files. Errors are IoError with the path and the system's reason.
std::string read_text(const std::filesystem::path& path);
std::vector<std::byte> read_bytes(const std::filesystem::path& path);

// A text file that gzip may have compressed; at most `most_bytes` of text, IoError beyond and for
// what is damaged.
std::string read_gzip_text(const std::filesystem::path& path,
                           std::size_t most_bytes = std::size_t{1} << 30);

// Closes on every way out.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What tells that a file has been written into.
struct FileStamp {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;  // since the epoch

  bool operator==(const FileStamp&) const = default;
};

// A regular file that is read in pieces, by any number of threads. It stays the file that was
// opened when another one takes its name; when something is written into it, reads are IoErrors.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return opened_.size; }
  // REQUIRES: offset + into.size() <= size().
  void read(std::uint64_t offset, std::span<std::byte> into) const;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  FileStamp opened_;
};

// Bytes of a file that need not be in memory. REQUIRES of who makes one: they lie inside the file.
struct FileRange {
  std::shared_ptr<const FileReader> file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  // REQUIRES: into.size() == size.
  void read(std::span<std::byte> into) const { file->read(offset, into); }
};

// Writes beside the target, flushes to disk and renames: a reader, or a run killed at any instant,
// sees the old content or the new, never a part. Creates missing folders.
void write_atomic(const std::filesystem::path& path, std::string_view content);
void write_atomic(const std::filesystem::path& path, std::span<const std::byte> content);

// The same in pieces. Nothing is left of a file that is not committed.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> content);
  // The last call.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  FileDescriptor file_;
  bool committed_ = false;
};

}  // namespace tessera
