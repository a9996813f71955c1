// SPDX-License-Identifier: Apache-2.0
#include "support/shared_files.h"

#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace tessera::testing {

namespace fs = std::filesystem;

std::optional<fs::path> shared_file(const std::string& relative) {
  std::vector<fs::path> roots;
  if (const char* root = std::getenv("TESSERA_SHARED"); root != nullptr)
    roots.emplace_back(root);
  roots.push_back(source_file("../shared"));
  for (const fs::path& root : roots) {
    if (fs::exists(root / relative))
      return root / relative;
  }
  return std::nullopt;
}

fs::path temp_folder() {
  struct Folders {
    std::vector<fs::path> made;
    ~Folders() {
      std::error_code ignored;
      for (const fs::path& folder : made)
        fs::remove_all(folder, ignored);
    }
  };
  static Folders folders;
  const fs::path folder = fs::temp_directory_path() / ("tessera-test-" + std::to_string(getpid()) +
                                                       "-" + std::to_string(folders.made.size()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  folders.made.push_back(folder);
  return folder;
}

fs::path source_file(const std::string& relative) {
  return fs::path(TESSERA_SOURCE_DIR) / relative;
}

}  // namespace tessera::testing
