// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "tessera/core/error.h"
#include "tessera/core/log.h"
#include "tessera/flow/version.h"

#include "commands.h"

namespace {

using namespace tessera;
using namespace tessera::cli;

LogLevel log_level(const CommonOptions& options) {
  if (options.quiet)
    return LogLevel::kQuiet;
  return options.verbose ? LogLevel::kVerbose : LogLevel::kNormal;
}

int run(int argc, const char* const* argv) {
  CLI::App app("Lays trained neural networks onto mixed-precision hardware", "tessera");
  app.set_version_flag("--version", "tessera " + flow::version());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  std::vector<Command> commands;
  for (const auto add :
       {add_map, add_compare, add_inspect, add_cost, add_schedule, add_quantize, add_eval,
        add_train, add_export, add_report, add_list, add_config, add_completion})
    commands.push_back(add(app));

  if (!parse_arguments(app, argc, argv))
    return kDone;
  for (const Command& command : commands) {
    if (command.app->parsed()) {
      set_up_log(log_level(*command.common));
      return command.run();
    }
  }
  TESSERA_CHECK(false, "no command ran");
}

int report(int code, const char* kind, const char* message) {
  fmt::print(stderr, "tessera: {}: {}\n", kind, message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  tessera::nn::enable_widest_cpu_kernels();
  try {
    return run(argc, argv);
  } catch (const tessera::Error& error) {
    return report(kMistake, "error", error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return report(kMistake, "error", error.what());
  } catch (const c10::OutOfMemoryError&) {
    return report(kMistake, "error", "out of GPU memory; use a smaller --batch or --device cpu");
  } catch (const std::bad_alloc&) {
    return report(kMistake, "error", "out of memory; use a smaller --batch or a smaller network");
  } catch (const std::exception& error) {
    return report(kBug, "internal error, please report it", error.what());
  }
}
