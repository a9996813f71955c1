// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace tessera::fuzz {

// A folder of this process alone, for readers that take files.
inline const std::filesystem::path& folder() {
  static const std::filesystem::path kFolder = [] {
    const auto path =
        std::filesystem::temp_directory_path() / ("tessera_fuzz_" + std::to_string(getpid()));
    std::filesystem::create_directories(path);
    return path;
  }();
  return kFolder;
}

// The bytes as a file of that name.
inline std::filesystem::path write(const std::string& name, const std::uint8_t* data,
                                   std::size_t size) {
  const std::filesystem::path path = folder() / name;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return path;
}

}  // namespace tessera::fuzz
