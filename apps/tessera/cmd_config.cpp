// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/read_platform.h"

#include "commands.h"

namespace tessera::cli {

Command add_config(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto kind = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("config", "Explain every key of a kind of file: hardware or map");
  command->add_option("KIND", *kind, "hardware (platform files) or map (settings of tessera map)")
      ->required();
  add_common_options(*command, *common, {});
  return {command, common, [kind] {
            if (*kind == "hardware") {
              print_result(hw::explain_platform());
            } else if (*kind == "map") {
              print_result(config::explain(*flow::map_schema().help()));
            } else {
              throw UsageError(
                  unknown_name("kind", *kind, std::vector<std::string>{"hardware", "map"}));
            }
            return static_cast<int>(kDone);
          }};
}

}  // namespace tessera::cli
