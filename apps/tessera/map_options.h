// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>

#include <CLI/App.hpp>

#include "tessera/flow/settings.h"

namespace tessera::cli {

// What `tessera map` and `tessera compare` read alike.
struct MapOptions {
  std::map<std::string, std::string> settings;  // by key, as given
  std::string config;
  std::string out;
  bool dry_run = false;
};

// --config, --out, --dry-run and one option for each key of the settings' schema, where it is
// checked, explained and defaulted, but for those in `without`.
void add_map_options(CLI::App& command, MapOptions& options, const std::set<std::string>& without);

// Throws ConfigError with all mistakes.
flow::MapSettings read_settings(const MapOptions& options);

}  // namespace tessera::cli
