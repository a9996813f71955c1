// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// A run's folder on disk. Every file in it is replaced as a whole, so that it can be read at any
// instant and a killed run continues from its last checkpoint.
class RunFolder {
 public:
  // Opens or creates `folder` for a run that `fingerprint` identifies (its settings, inputs and
  // version). A folder that holds a run with another fingerprint is a UsageError, since it would
  // mix two runs.
  RunFolder(std::filesystem::path folder, std::string fingerprint);

  const std::filesystem::path& path() const { return folder_; }

  void save(std::string_view name, const supernet::Checkpoint& checkpoint) const;
  // None when there is none; IoError when it is damaged.
  std::optional<supernet::Checkpoint> load(std::string_view name) const;

 private:
  std::filesystem::path checkpoint_path(std::string_view name) const;

  std::filesystem::path folder_;
};

// Whether Ctrl-C (SIGINT) or SIGTERM was received since install_interrupt_handler(). A second one
// ends the process at once.
void install_interrupt_handler();
bool interrupted();

}  // namespace tessera::flow
