// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera::cli {

namespace {

std::string g_command_line;

// The command that was being read when the mistake was met.
const CLI::App& deepest(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : deepest(*parsed.front());
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr))
    names.push_back(command->get_name());
  return names;
}

// The type of the option that a conversion's message is about: "Could not convert: --threads = x".
std::optional<std::string> expected_type(const CLI::App& command, const std::string& message) {
  constexpr std::string_view kPrefix = "Could not convert: ";
  if (!message.starts_with(kPrefix))
    return std::nullopt;
  const std::size_t end = message.find(" = ");
  const CLI::Option* option =
      command.get_option_no_throw(message.substr(kPrefix.size(), end - kPrefix.size()));
  if (option == nullptr)
    return std::nullopt;
  return option->get_type_name();
}

// Arguments that nothing took explain the mistake better than what is missing because of them.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = deepest(app);
  const bool no_command = &command == &app;
  const auto extras = app.remaining(/*recurse=*/true);
  if (!extras.empty()) {
    const std::string word = extras.front().substr(0, extras.front().find('='));
    if (word.starts_with('-'))
      return unknown_name("option", word, option_names(command));
    if (no_command)
      return unknown_name("command", word, command_names(app));
    return fmt::format("{}: argument '{}' is one too many; see tessera {} --help",
                       command.get_name(), extras.front(), command.get_name());
  }
  if (no_command) {
    std::string known;
    for (const std::string& name : command_names(app))
      known += (known.empty() ? "" : ", ") + name;
    return fmt::format("no command given (known: {}); see tessera --help", known);
  }
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (const auto expected = expected_type(command, message))
    message += fmt::format(" (expected {})", *expected);
  return fmt::format("{}: {}", command.get_name(), message);
}

}  // namespace

void add_common_options(CLI::App& command, CommonOptions& options, CommonSet which) {
  if (which.seed)
    command.add_option("--seed", options.seed, "Seed of every random choice")
        ->capture_default_str();
  if (which.runtime) {
    command.add_option("--threads", options.runtime.threads, "CPU threads; 0: one per core")
        ->capture_default_str();
    command.add_option("--device", options.runtime.device, "cpu, cuda or cuda:K")
        ->capture_default_str();
  }
  command.add_flag("--json", options.json, "Print the result as JSON");
  auto* verbose = command.add_flag("--verbose", options.verbose, "Log more");
  command.add_flag("--quiet", options.quiet, "Log errors only")->excludes(verbose);
}

CLI::Validator at_least(double low) {
  return {[low](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && value >= low;
            return good ? std::string() : fmt::format("must be {} or more, found {}", low, text);
          },
          ""};
}

void print_result(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0)
    throw IoError("cannot write the result to standard output");
}

void print_json(const nlohmann::ordered_json& result) {
  constexpr int kVersion = 1;  // of docs/commands.schema.json
  nlohmann::ordered_json all{{"tessera", kVersion}};
  all.update(result);
  print_result(all.dump(2) + "\n");
}

std::string command_line() {
  return g_command_line;
}

bool parse_arguments(CLI::App& app, int argc, const char* const* argv) {
  g_command_line = "tessera";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_of(" \t\n'\"$&|;<>(){}*?\\") == word.npos;
    g_command_line += " " + (plain ? word : "'" + word + "'");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {  // --help, --version
    app.exit(done);
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(explain(app, error));
  }
  return true;
}

}  // namespace tessera::cli
