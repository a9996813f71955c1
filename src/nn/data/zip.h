// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tessera::nn::detail {

struct ZipMember {
  std::string name;
  std::vector<std::byte> content;
};

// The members of an archive, stored or deflated, with or without the 64-bit extension, in the
// order of its directory. Checksums are checked. Throws IoError naming the file and the member.
std::vector<ZipMember> read_zip(const std::filesystem::path& path);

// An archive of stored members that unzip and Python read. REQUIRES: less than 4 GiB in all.
std::vector<std::byte> make_zip(std::span<const ZipMember> members);

}  // namespace tessera::nn::detail
