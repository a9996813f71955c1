// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/read_platform.h"

#include "commands.h"

namespace tessera::cli {

namespace {

struct ConfigOptions {
  std::string kind;
  std::string key;
};

std::string explain(const std::string& kind) {
  if (kind == "hardware")
    return hw::explain_platform();
  if (kind == "map")
    return config::explain(*flow::map_schema().help());
  throw UsageError(unknown_name("kind", kind, std::vector<std::string>{"hardware", "map"}));
}

// The rows of the reference whose key is `key`, each as one line behind its section.
std::string explain_key(const std::string& reference, const std::string& key) {
  std::string section;
  std::string found;
  std::vector<std::string> known;
  for (const std::string_view line : split(std::string_view(reference), '\n')) {
    if (line.starts_with('#'))
      section = trim(line.substr(line.find_first_not_of('#')));
    if (!line.starts_with("| `"))
      continue;
    const std::string_view rest = line.substr(3);
    const std::string name(rest.substr(0, rest.find('`')));
    known.push_back(name);
    if (name == key)
      found += fmt::format("{}: {}\n", section, line);
  }
  if (found.empty())
    throw UsageError(unknown_name("key", key, known));
  return found;
}

}  // namespace

Command add_config(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* command = app.add_subcommand("config", "Explain the keys of files that people write");
  CLI::App* explained =
      command->add_subcommand("explain", "Explain every key of a kind of file, or one");
  command->require_subcommand(1);
  explained
      ->add_option("KIND", options->kind,
                   "hardware (platform files) or map (settings of tessera map)")
      ->required();
  explained->add_option("KEY", options->key, "One key of it");
  add_common_options(*explained, *common, {});
  return {command, common, [options] {
            const std::string reference = explain(options->kind);
            print_result(options->key.empty() ? reference : explain_key(reference, options->key));
            return static_cast<int>(kDone);
          }};
}

}  // namespace tessera::cli
