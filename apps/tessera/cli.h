// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include <CLI/App.hpp>

#include "tessera/nn/tensor/runtime.h"

namespace tessera::cli {

enum ExitCode {
  kDone = 0,
  kNoAnswer = 1,  // no feasible answer, or a check that failed
  kMistake = 2,   // the user's mistake
  kBug = 70,      // ours
  kInterrupted =
      130,  // by Ctrl-C, with the best so far; as shells say of a program that SIGINT ended
};

// Options that mean the same in every command.
struct CommonOptions {
  bool json = false;
  bool verbose = false;
  bool quiet = false;
  std::uint64_t seed = 1;
  nn::RuntimeOptions runtime;  // --threads, --device
};

// Which of them a command has beyond --json, --verbose and --quiet.
struct CommonSet {
  bool seed = false;
  bool runtime = false;
};
void add_common_options(CLI::App& command, CommonOptions& options, CommonSet which);

// Accepts numbers from `low` upwards: ->check(at_least(1)).
CLI::Validator at_least(double low);

// A subcommand: where its options are, and what to do once they are read. run() prints the result
// to standard output, nothing else does, and returns kDone or kNoAnswer.
struct Command {
  CLI::App* app = nullptr;
  std::shared_ptr<const CommonOptions> common;
  std::function<int()> run;
};

// The result of a command, at its end.
void print_result(const std::string& text);
// The same as JSON that docs/commands.schema.json describes, with the version of its form first.
void print_json(const nlohmann::ordered_json& result);

// Reads the command line into the app whose subcommands are the commands. Throws UsageError with
// one line that names the nearest command or option; returns false after --help or --version.
bool parse_arguments(CLI::App& app, int argc, const char* const* argv);

// The arguments of this process as one line, quoted where a shell needs it; for records.
std::string command_line();

}  // namespace tessera::cli
