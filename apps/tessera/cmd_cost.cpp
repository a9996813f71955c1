// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/baselines.h"
#include "tessera/flow/inputs.h"
#include "tessera/hw/read_platform.h"
#include "tessera/plan/mapping.h"
#include "tessera/report/terminal.h"

#include "commands.h"

namespace tessera::cli {

namespace {

struct CostOptions {
  std::string network;
  std::string hardware;
  std::string mapping;
  std::string format;
  std::string nest_objective = "edp";
  std::string nest_cache;
  bool dense = false;
};

// The formats asked for, which is all that loop nests are needed for.
std::vector<format::NumberFormat> formats_of(const CostOptions& options,
                                             const std::optional<plan::MappingInput>& mapping) {
  std::vector<format::NumberFormat> formats;
  if (mapping) {
    for (const auto& [name, path] : mapping->paths) {
      for (const plan::Part& part : path.parts)
        formats.push_back(part.format);
    }
  } else if (const auto format = format::parse_number_format(options.format)) {
    formats.push_back(*format);
  }
  return formats;
}

int run_cost(const CostOptions& options, const CommonOptions& common) {
  const flow::LoadedNetwork network = flow::load_network(options.network, onnx::Constants::kInFile);
  const hw::Platform platform = hw::load_platform(options.hardware, hw::platform_folders());
  std::optional<plan::MappingInput> input;
  if (!options.mapping.empty())
    input = plan::read_mapping(options.mapping);
  const cost::TiledModel model =
      flow::make_model(network.graph, flow::with_widths_of(platform, formats_of(options, input)),
                       {.objective = options.nest_objective,
                        .grouping = options.dense ? ir::Grouping::kDense : ir::Grouping::kAsIs,
                        .cache = options.nest_cache});
  const plan::Assignment assignment = input ? plan::assignment_for(*input, model.workload())
                                            : flow::uniform_assignment(model, options.format);
  const Expected<plan::Cost> cost = model.evaluate(assignment);
  if (!cost) {
    print_result(fmt::format("does not fit on {}: {}\n", platform.name, cost.error().detail));
    return kNoAnswer;
  }
  if (common.json) {
    plan::Mapping mapping;
    mapping.network = network.file;
    mapping.platform = {.name = platform.name, .sha256 = platform.sha256};
    mapping.assignment = assignment;
    mapping.workload = model.workload();
    mapping.cost = *cost;
    print_result(plan::to_json(mapping).dump(2) + "\n");
  } else {
    print_result(report::cost_summary(model.workload(), assignment, *cost));
  }
  return kDone;
}

}  // namespace

Command add_cost(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<CostOptions>();
  CLI::App* command = app.add_subcommand(
      "cost", "Energy, latency, memory and tiles of a mapping, by layer and component");
  command->add_option("NETWORK", options->network, "ONNX file")->required();
  command->add_option("--hardware", options->hardware, "Name of a preset or a YAML file")
      ->required();
  auto* what = command->add_option_group("mapping", "What runs where: one of");
  what->add_option("--mapping", options->mapping, "mapping.json of a run");
  what->add_option("--format", options->format,
                   "One format for all layers: fp32, fp16, int8, …, or analog (layers that no tile "
                   "takes: int8)");
  what->require_option(1);
  command->add_option("--nest-objective", options->nest_objective,
                      "What loop nests on spatial units minimize: energy, delay, edp, … [edp]");
  command->add_option("--nest-cache", options->nest_cache,
                      "File that keeps the loop nests found on spatial units");
  command->add_flag("--dense", options->dense,
                    "Price grouped convolutions on spatial units as dense ones");
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_cost(*options, *common); }};
}

}  // namespace tessera::cli
