// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli.h"

namespace tessera::cli {

// One subcommand each, in its own cmd_<name>.cpp. A new one: its add function here, its file in
// CMakeLists.txt and its line in main.cpp.
Command add_inspect(CLI::App& app);
Command add_eval(CLI::App& app);
Command add_cost(CLI::App& app);
Command add_map(CLI::App& app);
Command add_compare(CLI::App& app);
Command add_schedule(CLI::App& app);
Command add_train(CLI::App& app);
Command add_export(CLI::App& app);
Command add_quantize(CLI::App& app);
Command add_report(CLI::App& app);
Command add_list(CLI::App& app);
Command add_config(CLI::App& app);
Command add_completion(CLI::App& app);

}  // namespace tessera::cli
