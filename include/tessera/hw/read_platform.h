// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/hw/platform.h"

namespace tessera::hw {

// Platforms as YAML, version 1 (docs/hardware.md). Reading throws ConfigError with every mistake of
// the file, one line each with file:line:column: first those of single fields; when there are none,
// those between fields (names that name nothing, technology nodes that differ).
Platform parse_platform(std::string_view text, const std::string& file);
// Throws IoError when the file cannot be read.
Platform read_platform(const std::filesystem::path& path);

// A shipped preset by its name ("hermes"), or any file by its path: what holds a '/' or ends in
// .yaml or .yml is a path. Presets are NAME.yaml in the first of `folders` that has it; an unknown
// name is a ConfigError that lists those known.
Platform load_platform(const std::string& name_or_path,
                       const std::vector<std::filesystem::path>& folders);

// Names of the presets in `folders`, sorted.
std::vector<std::string> preset_names(const std::vector<std::filesystem::path>& folders);

// Where the command line looks for presets: $TESSERA_CONFIG_DIR/hardware when that variable is set,
// the source tree this was built from, and the place of installation. Reads the environment; for
// the command line alone.
std::vector<std::filesystem::path> platform_folders();

// The platform as YAML with every default spelled out, in base units with all digits;
// parse_platform() of it gives the same platform, sha256 aside.
std::string write_platform(const Platform& platform);

// Every key of a platform file as Markdown tables.
std::string explain_platform();

}  // namespace tessera::hw
