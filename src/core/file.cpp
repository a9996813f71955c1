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

// Closes on every way out.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

template <typename Container>
Container read_all(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code))
    fail(path, "read", EISDIR);
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0)
    fail(path, "read", errno);
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
  std::error_code code;
  if (path.has_parent_path()) {
    fs::create_directories(path.parent_path(), code);
    if (code)
      fail(path.parent_path(), "create folder", code.value());
  }
  fs::path temporary = path;
  temporary += fmt::format(".{}.tmp", ::getpid());
  {
    const FileDescriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0)
      fail(path, "write", errno);
    bool good = true;
    for (std::size_t written = 0; good && written < content.size();) {
      const ssize_t n = ::write(file.get(), content.data() + written, content.size() - written);
      if (n >= 0)
        written += static_cast<std::size_t>(n);
      good = n >= 0 || errno == EINTR;
    }
    if (!good || ::fsync(file.get()) < 0) {
      const int reason = errno;
      ::unlink(temporary.c_str());
      fail(path, "write", reason);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) < 0) {
    const int reason = errno;
    ::unlink(temporary.c_str());
    fail(path, "write", reason);
  }
}

}  // namespace tessera
