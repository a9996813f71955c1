// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/flow/map.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/read_platform.h"
#include "tessera/report/terminal.h"

#include "commands.h"

namespace tessera::cli {

namespace {

struct MapOptions {
  std::map<std::string, std::string> settings;  // by key, as given
  std::string config;
  std::string out;
  bool dry_run = false;
};

int run_map(const MapOptions& options, const CommonOptions& common) {
  std::map<std::string, std::string> overrides;
  for (const auto& [key, value] : options.settings) {
    if (!value.empty())
      overrides[key] = value;
  }
  const flow::MapSettings settings = flow::read_map_settings(
      options.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.config),
      overrides);
  const flow::MapContext context{
      .out = options.out, .command = command_line(), .preset_folders = hw::platform_folders()};
  if (options.dry_run) {
    flow::check_map(settings, context);
    print_result(flow::resolved_yaml(settings));
    return kDone;
  }
  flow::install_interrupt_handler();
  const Expected<plan::RunRecord> record = flow::map_network(settings, context);
  if (!record) {
    print_result(fmt::format("no mapping keeps the limits: {}\nwhat was found: {}\n",
                             record.error().detail, (context.out / "report.html").string()));
    return kNoAnswer;
  }
  if (common.json) {
    print_result(plan::to_json(record->chosen).dump(2) + "\n");
  } else {
    print_result(
        report::run_summary(*record) +
        (record->chosen.network.file == record->network_file
             ? ""
             : fmt::format("\nnetwork  {}", (context.out / record->chosen.network.file).string())) +
        fmt::format("\nmapping  {}\nONNX     {}\nreport   {}\n",
                    (context.out / "mapping.json").string(), (context.out / "model.onnx").string(),
                    (context.out / "report.html").string()));
  }
  return record->status == "interrupted" ? kInterrupted : kDone;
}

}  // namespace

Command add_map(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<MapOptions>();
  CLI::App* command = app.add_subcommand(
      "map", "Lay a network onto a chip: search, train, measure, export, report");
  command->add_option("--config", options->config,
                      "YAML file with any of the settings below, e.g. a run's resolved.yaml");
  command
      ->add_option("--out", options->out,
                   "Folder of the run; continues the same run if it is there")
      ->required();
  command->add_flag("--dry-run", options->dry_run,
                    "Check everything, print the settings, do nothing");
  // One option for each key of the settings' schema: checked, explained and defaulted there.
  for (const config::Help::Row& row : flow::map_schema().help()->rows) {
    if (row.key == "version")
      continue;
    const std::string name = row.key == "network" ? "NETWORK" : "--" + row.key;
    std::string help = row.help;
    if (!row.default_value.empty())
      help += fmt::format(" [{}]", row.default_value);
    command->add_option(name, options->settings[row.key], help);
  }
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_map(*options, *common); }};
}

}  // namespace tessera::cli
