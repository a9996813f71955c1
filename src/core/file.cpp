// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "tessera/core/error.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& path, std::string_view doing, int code) {
  throw IoError(fmt::format("{}: cannot {}: {}", path.string(), doing,
                            std::generic_category().message(code)));
}

int open_to_read(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code))
    fail(path, "read", EISDIR);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    fail(path, "read", errno);
  return file;
}

FileStamp stamp_of(const FileDescriptor& file, const fs::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) < 0)
    fail(path, "read", errno);
  if (!S_ISREG(status.st_mode))
    throw IoError(fmt::format("{}: cannot read: not a regular file", path.string()));
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  return {.size = static_cast<std::uint64_t>(status.st_size),
          .modified_ns = status.st_mtim.tv_sec * kNsPerSecond + status.st_mtim.tv_nsec};
}

// Of a new file beside `path`, whose folder is made where it is missing.
fs::path temporary_for(const fs::path& path) {
  std::error_code code;
  if (path.has_parent_path()) {
    fs::create_directories(path.parent_path(), code);
    if (code)
      fail(path.parent_path(), "create folder", code.value());
  }
  fs::path temporary = path;
  temporary += fmt::format(".{}.tmp", ::getpid());
  return temporary;
}

template <typename Container>
Container read_all(const fs::path& path) {
  const FileDescriptor file(open_to_read(path));
  constexpr std::size_t kPiece = 65536;
  // All at once where the size is known, since a network's file is large.
  struct stat status {};
  const bool sized = ::fstat(file.get(), &status) == 0 && status.st_size > 0;
  Container content;
  content.resize((sized ? static_cast<std::size_t>(status.st_size) : kPiece) + kPiece);
  std::size_t used = 0;
  for (;;) {
    // Grown as it is read: a pipe or /proc file tells no size beforehand.
    if (content.size() - used < kPiece)
      content.resize(content.size() * 2);
    const ssize_t got = ::read(file.get(), content.data() + used, content.size() - used);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      fail(path, "read", errno);
    if (got == 0)
      break;
    used += static_cast<std::size_t>(got);
  }
  content.resize(used);
  return content;
}

}  // namespace

std::string read_text(const fs::path& path) {
  return read_all<std::string>(path);
}

std::vector<std::byte> read_bytes(const fs::path& path) {
  return read_all<std::vector<std::byte>>(path);
}

std::string read_gzip_text(const fs::path& path, std::size_t most_bytes) {
  std::error_code code;
  if (fs::is_directory(path, code))
    fail(path, "read", EISDIR);
  errno = 0;
  // Reads plain files as they are, too.
  const gzFile file = ::gzopen(path.c_str(), "rb");
  if (file == nullptr)
    fail(path, "read", errno != 0 ? errno : ENOMEM);
  std::string content;
  std::size_t used = 0;
  int got = 0;
  do {
    content.resize(used + 65536);
    got = ::gzread(file, content.data() + used, 65536);
    used += static_cast<std::size_t>(std::max(got, 0));
  } while (got > 0 && used <= most_bytes);
  int error = Z_OK;
  const std::string reason = ::gzerror(file, &error);
  const bool whole = ::gzclose(file) == Z_OK && got >= 0 && error == Z_OK;
  if (used > most_bytes)
    throw IoError(fmt::format("{}: more than {} bytes of text", path.string(), most_bytes));
  if (!whole)
    throw IoError(fmt::format("{}: cannot decompress: {}", path.string(),
                              reason.empty() ? "the file ends too early" : reason));
  content.resize(used);
  return content;
}

void write_atomic(const fs::path& path, std::string_view content) {
  write_atomic(path, std::as_bytes(std::span(content.data(), content.size())));
}

void write_atomic(const fs::path& path, std::span<const std::byte> content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0)
    ::close(fd_);
}

FileReader::FileReader(const fs::path& path)
    : path_(path), file_(open_to_read(path)), opened_(stamp_of(file_, path)) {}

void FileReader::read(std::uint64_t offset, std::span<std::byte> into) const {
  TESSERA_CHECK(offset <= size() && into.size() <= size() - offset, "{} bytes from {} of {}",
                into.size(), offset, size());
  bool ended = false;
  for (std::size_t done = 0; !ended && done < into.size();) {
    const ssize_t got = ::pread(file_.get(), into.data() + done, into.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno != EINTR)
      fail(path_, "read", errno);
    done += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    ended = got == 0;
  }
  if (ended || stamp_of(file_, path_) != opened_)
    throw IoError(fmt::format("{}: has changed since it was opened", path_.string()));
}

AtomicFile::AtomicFile(const fs::path& path)
    : path_(path),
      temporary_(temporary_for(path)),
      file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (file_.get() < 0)
    fail(path_, "write", errno);
}

AtomicFile::~AtomicFile() {
  if (!committed_)
    ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> content) {
  for (std::size_t written = 0; written < content.size();) {
    const ssize_t n = ::write(file_.get(), content.data() + written, content.size() - written);
    if (n < 0 && errno != EINTR)
      fail(path_, "write", errno);
    written += static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  }
}

void AtomicFile::commit() {
  if (::fsync(file_.get()) < 0 || ::rename(temporary_.c_str(), path_.c_str()) < 0)
    fail(path_, "write", errno);
  committed_ = true;
}

}  // namespace tessera
