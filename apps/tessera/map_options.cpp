// SPDX-License-Identifier: Apache-2.0
#include "map_options.h"

#include <fmt/format.h>

#include <optional>

namespace tessera::cli {

void add_map_options(CLI::App& command, MapOptions& options, const std::set<std::string>& without) {
  command.add_option("--config", options.config,
                     "YAML file with any of the settings below, e.g. a run's resolved.yaml");
  command
      .add_option("--out", options.out, "Folder of the run; continues the same run if it is there")
      ->required();
  command.add_flag("--dry-run", options.dry_run,
                   "Check everything, print the settings, do nothing");
  for (const config::Help::Row& row : flow::map_schema().help()->rows) {
    if (row.key == "version" || without.contains(row.key))
      continue;
    const std::string name = row.key == "network" ? "NETWORK" : "--" + row.key;
    std::string help = row.help;
    if (!row.default_value.empty())
      help += fmt::format(" [{}]", row.default_value);
    command.add_option(name, options.settings[row.key], help);
  }
}

flow::MapSettings read_settings(const MapOptions& options) {
  std::map<std::string, std::string> overrides;
  for (const auto& [key, value] : options.settings) {
    if (!value.empty())
      overrides[key] = value;
  }
  return flow::read_map_settings(
      options.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.config),
      overrides);
}

}  // namespace tessera::cli
