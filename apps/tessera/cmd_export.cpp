// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tessera/flow/inputs.h"
#include "tessera/hw/read_platform.h"
#include "tessera/onnx/export.h"
#include "tessera/plan/mapping.h"

#include "commands.h"

namespace tessera::cli {

namespace {

struct ExportCommandOptions {
  std::string network;
  std::string mapping;
  std::string hardware;
  std::string out;
};

int run_export(const ExportCommandOptions& options, const CommonOptions& common) {
  const flow::LoadedNetwork loaded = flow::load_network(options.network);
  const plan::MappingInput input = plan::read_mapping(options.mapping);
  const std::string hardware = options.hardware.empty() ? input.platform.name : options.hardware;
  const hw::Platform platform = hw::load_platform(hardware, hw::platform_folders());
  const nn::Network network(loaded.graph, torch::kCPU);
  const nn::MappedNetwork mapped = flow::load_mapped(
      network, input, std::filesystem::path(options.mapping).parent_path(), platform);
  onnx::export_onnx(mapped.network().to_graph(),
                    {.mapping = onnx::ExportMapping{.assignment = mapped.assignment(),
                                                    .numerics = input.numerics}},
                    options.out);
  print_result(common.json ? nlohmann::ordered_json{{"file", options.out}}.dump(2) + "\n"
                           : options.out + "\n");
  return kDone;
}

}  // namespace

Command add_export(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<ExportCommandOptions>();
  CLI::App* command = app.add_subcommand("export", "Write a mapped network as ONNX (QDQ)");
  command->add_option("NETWORK", options->network, "ONNX file that the mapping was made for")
      ->required();
  command->add_option("--mapping", options->mapping, "mapping.json of a run")->required();
  command->add_option("--hardware", options->hardware,
                      "Preset or YAML file; default: the preset that the mapping names");
  command->add_option("--out", options->out, "ONNX file to write")->required();
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_export(*options, *common); }};
}

}  // namespace tessera::cli
