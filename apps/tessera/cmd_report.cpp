// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tessera/core/file.h"
#include "tessera/plan/run_record.h"
#include "tessera/report/html.h"
#include "tessera/report/terminal.h"

#include "commands.h"

namespace tessera::cli {

Command add_report(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto run = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("report", "Print a run's result again, or render its report anew");
  command->add_option("RUN", *run, "Folder of a run")->required();
  command->add_option("--html", *out, "HTML file to write");
  add_common_options(*command, *common, {});
  return {command, common, [run, out, common] {
            const plan::RunRecord record =
                plan::read_run_record(std::filesystem::path(*run) / "run.json");
            if (!out->empty())
              write_atomic(*out, report::html_report(record));
            print_result(common->json ? plan::to_json(record).dump(2) + "\n"
                                      : report::run_summary(record));
            return static_cast<int>(kDone);
          }};
}

}  // namespace tessera::cli
