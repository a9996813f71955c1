// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "tessera/core/log.h"
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
  int opset = 13;
};

// What ONNX Runtime has no integer kernels for runs as floats between the codes: the file is small,
// but no faster.
void warn_of_floats(const nn::MappedNetwork& mapped, int opset) {
  std::vector<std::string> layers;
  for (std::size_t i = 0; i < mapped.assignment().paths.size(); ++i) {
    for (const plan::Part& part : mapped.assignment().paths[i].parts) {
      const auto* integer = std::get_if<format::Integer>(&part.format);
      if (integer != nullptr && (integer->activation_bits > 8 || integer->group > 0 ||
                                 (opset >= 21 && integer->weight_bits <= 4))) {
        layers.push_back(mapped.network().workload().layers[i].name);
        break;
      }
    }
  }
  if (!layers.empty())
    log_warning(
        fmt::format("ONNX Runtime's CPU runs {} layer{} as float, which saves size, not "
                    "time: {}",
                    layers.size(), layers.size() == 1 ? "" : "s", fmt::join(layers, ", ")));
}

int run_export(const ExportCommandOptions& options, const CommonOptions& common) {
  const flow::LoadedNetwork loaded = flow::load_network(options.network);
  const plan::MappingInput input = plan::read_mapping(options.mapping);
  const std::string hardware = options.hardware.empty() ? input.platform.name : options.hardware;
  const hw::Platform platform = hw::load_platform(hardware, hw::platform_folders());
  const nn::Network network(loaded.graph, torch::kCPU);
  const nn::MappedNetwork mapped = flow::load_mapped(
      network, input, std::filesystem::path(options.mapping).parent_path(), platform);
  warn_of_floats(mapped, options.opset);
  onnx::export_onnx(mapped.network().to_graph(),
                    {.mapping = onnx::ExportMapping{.assignment = mapped.assignment(),
                                                    .numerics = input.numerics},
                     .opset = options.opset},
                    options.out);
  if (common.json) {
    print_json({{"file", options.out}});
  } else {
    print_result(options.out + "\n");
  }
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
  command
      ->add_option("--opset", options->opset,
                   "Least opset of the file; from 21 on, weights of 4 bits are stored so")
      ->check(CLI::Range(13, 25))
      ->capture_default_str();
  add_common_options(*command, *common, {});
  return {command, common, [options, common] { return run_export(*options, *common); }};
}

}  // namespace tessera::cli
