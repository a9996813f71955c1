// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/architectures.h"
#include "tessera/flow/registry.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/analog/noise_model.h"
#include "tessera/report/table.h"

#include "commands.h"

namespace tessera::cli {

namespace {

struct Item {
  std::string name;
  std::string summary;
};

std::vector<Item> items_of(const std::string& kind) {
  std::vector<Item> items;
  if (kind == "strategies") {
    for (const flow::StrategyEntry& entry : flow::strategies())
      items.push_back({entry.name, entry.summary});
  } else if (kind == "hardware") {
    for (const std::string& name : hw::preset_names(hw::platform_folders()))
      items.push_back({name, hw::load_platform(name, hw::platform_folders()).summary});
  } else if (kind == "noise") {
    for (const std::string& name : nn::analog_preset_names())
      items.push_back({name, nn::analog_preset(name).summary});
  } else if (kind == "architectures") {
    for (const std::string& name : flow::architecture_names())
      items.push_back({name, "residual network for small images"});
  } else {
    throw UsageError(
        unknown_name("list", kind,
                     std::vector<std::string>{"strategies", "hardware", "noise", "architectures"}));
  }
  return items;
}

}  // namespace

Command add_list(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto kind = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "list", "List what can be named: strategies, hardware, noise, architectures");
  command->add_option("KIND", *kind, "strategies, hardware, noise or architectures")->required();
  add_common_options(*command, *common, {});
  return {command, common, [kind, common] {
            const std::vector<Item> items = items_of(*kind);
            if (common->json) {
              nlohmann::ordered_json found = nlohmann::ordered_json::array();
              for (const Item& item : items)
                found.push_back({{"name", item.name}, {"summary", item.summary}});
              print_json({{"kind", *kind}, {"items", found}});
            } else {
              report::Table table({{"name"}, {"summary"}});
              for (const Item& item : items)
                table.add_row({item.name, item.summary});
              print_result(table.render(160));
            }
            return static_cast<int>(kDone);
          }};
}

}  // namespace tessera::cli
