// SPDX-License-Identifier: Apache-2.0

// Writes the reports of the sample records into a folder, to look at: write_sample_report DIR.

#include <cstdio>
#include <filesystem>

#include "tessera/core/file.h"
#include "tessera/report/html.h"
#include "tessera/report/terminal.h"

#include "report/sample_record.h"

int main(int argc, char** argv) {
  using namespace tessera;
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  const plan::RunRecord done = report::testing::sample_record();
  const plan::RunRecord interrupted = report::testing::interrupted_record();
  write_atomic(folder / "done.html", report::html_report(done));
  write_atomic(folder / "interrupted.html", report::html_report(interrupted));
  write_atomic(folder / "empty.html", report::html_report({}));
  const std::string text =
      report::run_summary(done) + "\n" +
      report::cost_summary(done.workload, done.chosen.assignment, done.chosen.cost);
  std::fputs(text.c_str(), stdout);
}
