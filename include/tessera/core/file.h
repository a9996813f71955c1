// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
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

// Writes beside the target, flushes to disk and renames: a reader, or a run killed at any instant,
// sees the old content or the new, never a part. Creates missing folders.
void write_atomic(const std::filesystem::path& path, std::string_view content);
void write_atomic(const std::filesystem::path& path, std::span<const std::byte> content);

}  // namespace tessera
