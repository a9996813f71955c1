// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/compare.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/read_platform.h"
#include "tessera/report/comparison.h"

#include "commands.h"
#include "map_options.h"

namespace tessera::cli {

namespace {

struct CompareOptions {
  MapOptions map;
  std::string strategies;
  std::int64_t seeds = 1;
  std::int64_t budget = 0;
  double reference_drop = flow::CompareSettings{}.reference_drop;
};

int run_compare(const CompareOptions& options, const CommonOptions& common) {
  flow::CompareSettings settings{.map = read_settings(options.map),
                                 .seeds = options.seeds,
                                 .budget_samples = options.budget,
                                 .reference_drop = options.reference_drop};
  for (const std::string& name : split(options.strategies, ','))
    settings.strategies.emplace_back(trim(name));
  const flow::MapContext context{
      .out = options.map.out, .command = command_line(), .preset_folders = hw::platform_folders()};
  if (options.map.dry_run) {
    for (const flow::MapSettings& run : flow::check_compare(settings, context))
      print_result(fmt::format("# {}\n{}", run.strategy, flow::resolved_yaml(run)));
    return kDone;
  }
  flow::install_interrupt_handler();
  const plan::Comparison comparison = flow::compare(settings, context);
  print_result(common.json ? plan::to_json(comparison).dump(2) + "\n"
                           : report::comparison_table(comparison) +
                                 fmt::format("\nfronts   {}\nruns     {}\nreport   {}\n",
                                             (context.out / "compare.csv").string(),
                                             (context.out / "summary.csv").string(),
                                             (context.out / "compare.html").string()));
  return flow::interrupted() ? kInterrupted : kDone;
}

}  // namespace

Command add_compare(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command =
      app.add_subcommand("compare", "Run several strategies on one problem at one training budget");
  command
      ->add_option("--strategies", options->strategies,
                   "Names of `tessera list strategies`, separated by commas")
      ->required();
  command->add_option("--seeds", options->seeds, "Runs of each, with --seed and those after it [1]")
      ->check(at_least(1));
  command
      ->add_option("--budget", options->budget,
                   "Training images for each run, its chosen mapping's last training included; 0: "
                   "what the settings give mps [0]")
      ->check(at_least(0));
  command
      ->add_option("--reference-drop", options->reference_drop,
                   "Accuracy below the float network's that no longer counts in volumes, 0 to 1 "
                   "[0.1]")
      ->check(CLI::Range(0.0, 1.0));
  // A file of shared weights belongs to one seed.
  add_map_options(*command, options->map, {"strategy", "supernet-file"});
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_compare(*options, *common); }};
}

}  // namespace tessera::cli
