// SPDX-License-Identifier: Apache-2.0
// Shell completion and the manual page, made from what --help shows.
#include <fmt/ranges.h>

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/version.h"

#include "commands.h"

namespace tessera::cli {

namespace {

std::vector<const CLI::App*> subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
  }
  return names;
}

std::string bash(const CLI::App& app) {
  std::string commands;
  std::string cases;
  for (const CLI::App* command : subcommands(app)) {
    commands += command->get_name() + " ";
    cases += fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(),
                         fmt::join(option_names(*command), " "));
  }
  return fmt::format(
      "_tessera() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"{}--help --version\"\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n{}  esac\n"
      "  if [ \"$COMP_CWORD\" -gt 1 ] && [ \"${{word#-}}\" = \"$word\" ]; then\n"
      "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "  else\n"
      "    [ \"$COMP_CWORD\" -gt 1 ] || words=\"{}--help --version\"\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _tessera tessera\n",
      commands, cases, commands);
}

std::string quoted(std::string text) {
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return "'" + text + "'";
}

std::string fish(const CLI::App& app) {
  std::string script;
  for (const CLI::App* command : subcommands(app)) {
    script += fmt::format("complete -c tessera -n __fish_use_subcommand -f -a {} -d {}\n",
                          command->get_name(), quoted(command->get_description()));
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames())
        script +=
            fmt::format("complete -c tessera -n '__fish_seen_subcommand_from {}' -l {} -d {}\n",
                        command->get_name(), name, quoted(option->get_description()));
    }
  }
  return script;
}

// A line of text in troff: backslashes and what would start a request.
std::string troff(std::string text) {
  for (std::size_t at = 0; (at = text.find('\\', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return text.starts_with('.') || text.starts_with('\'') ? "\\&" + text : text;
}

std::string manual(const CLI::App& app) {
  std::string page = fmt::format(
      ".TH TESSERA 1 \"\" \"tessera {}\"\n.SH NAME\ntessera \\- {}\n"
      ".SH SYNOPSIS\n.B tessera\n.I COMMAND\n[options]\n.SH COMMANDS\n",
      flow::version(), troff(app.get_description()));
  for (const CLI::App* command : subcommands(app)) {
    page += fmt::format(".SS {}\n{}.\n", command->get_name(), troff(command->get_description()));
    for (const CLI::Option* option : command->get_options()) {
      page += fmt::format(".TP\n.B {}\n{}\n", troff(option->get_name(true)),
                          troff(option->get_description()));
    }
  }
  return page +
         ".SH EXIT STATUS\n0 done, 1 no feasible answer, 2 a mistake in what was given, 70 a bug "
         "of "
         "tessera's.\n";
}

}  // namespace

Command add_completion(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto kind = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "completion", "Print completion for a shell, or the manual page, to be stored");
  command->add_option("KIND", *kind, "bash, zsh, fish or man")->required();
  return {command, common, [&app, kind] {
            if (*kind == "bash")
              print_result(bash(app));
            else if (*kind == "zsh")
              print_result("autoload -U +X bashcompinit && bashcompinit\n" + bash(app));
            else if (*kind == "fish")
              print_result(fish(app));
            else if (*kind == "man")
              print_result(manual(app));
            else
              throw UsageError("completion: " + unknown_name("kind", *kind,
                                                             std::vector<std::string>{
                                                                 "bash", "zsh", "fish", "man"}));
            return static_cast<int>(kDone);
          }};
}

}  // namespace tessera::cli
