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

// A line of text in troff: backslashes, hyphens that are to stay minus signs, and what would start
// a request.
std::string troff(std::string_view text) {
  std::string line = text.starts_with('.') || text.starts_with('\'') ? "\\&" : "";
  for (const char c : text) {
    if (c == '\\')
      line += "\\e";
    else if (c == '-')
      line += "\\-";
    else
      line += c;
  }
  return line;
}

// "-h, --help" or "--seed UINT", names in bold.
std::string troff_heading(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const std::string& name : option.get_snames())
    add("-" + name);
  for (const std::string& name : option.get_lnames())
    add("--" + name);
  if (names.empty())
    return fmt::format(".I {}", troff(option.get_name(true)));
  return option.get_items_expected_max() == 0
             ? fmt::format(".B {}", troff(names))
             : fmt::format(".BI \"{} \" {}", troff(names), troff(option.get_type_name()));
}

std::string manual(const CLI::App& app) {
  std::string page = fmt::format(
      ".TH TESSERA 1 \"\" \"tessera {}\"\n.SH NAME\ntessera \\- {}\n"
      ".SH SYNOPSIS\n.B tessera\n.I COMMAND\n[options]\n.SH COMMANDS\n",
      flow::version(), troff(app.get_description()));
  for (const CLI::App* command : subcommands(app)) {
    page += fmt::format(".SS {}\n{}.\n", command->get_name(), troff(command->get_description()));
    for (const CLI::Option* option : command->get_options()) {
      page +=
          fmt::format(".TP\n{}\n{}\n", troff_heading(*option), troff(option->get_description()));
    }
  }
  return page +
         ".SH EXIT STATUS\n"
         ".TP\n.B 0\nDone\n"
         ".TP\n.B 1\nNo feasible answer, or a check that failed\n"
         ".TP\n.B 2\nA mistake in what was given; one line on standard error says which\n"
         ".TP\n.B 70\nA bug of tessera\n"
         ".TP\n.B 130\nInterrupted; the best so far is kept\n";
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
