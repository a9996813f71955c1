// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/flow/map.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/read_platform.h"
#include "tessera/report/terminal.h"

#include "commands.h"
#include "map_options.h"

namespace tessera::cli {

namespace {

int run_map(const MapOptions& options, const CommonOptions& common) {
  const flow::MapSettings settings = read_settings(options);
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
  add_map_options(*command, *options, {});
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_map(*options, *common); }};
}

}  // namespace tessera::cli
