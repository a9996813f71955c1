// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/run_folder.h"

#include <fmt/format.h>

#include <csignal>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/text.h"
#include "tessera/nn/data/safetensors.h"

namespace tessera::flow {

namespace fs = std::filesystem;

RunFolder::RunFolder(fs::path folder, std::string fingerprint) : folder_(std::move(folder)) {
  const fs::path mark = folder_ / "checkpoint" / "fingerprint";
  if (!fs::exists(mark)) {
    write_atomic(mark, fingerprint + "\n");
    return;
  }
  if (trim(read_text(mark)) != fingerprint) {
    throw UsageError(
        fmt::format("{}: holds a run with other settings, inputs or another version; choose "
                    "another --out, or remove it",
                    folder_.string()));
  }
}

fs::path RunFolder::checkpoint_path(std::string_view name) const {
  return folder_ / "checkpoint" / (std::string(name) + ".safetensors");
}

void RunFolder::save(std::string_view name, const supernet::Checkpoint& checkpoint) const {
  nn::SafeTensors file;
  file.tensors.assign(checkpoint.tensors.begin(), checkpoint.tensors.end());
  file.metadata["json"] = checkpoint.json;
  nn::write_safetensors(checkpoint_path(name), file);
}

std::optional<supernet::Checkpoint> RunFolder::load(std::string_view name) const {
  const fs::path path = checkpoint_path(name);
  if (!fs::exists(path))
    return std::nullopt;
  nn::SafeTensors file = nn::read_safetensors(path);
  return supernet::Checkpoint{{file.tensors.begin(), file.tensors.end()}, file.metadata["json"]};
}

namespace {
volatile std::sig_atomic_t g_interrupts = 0;

void on_signal(int signal) {
  if (g_interrupts > 0)
    std::_Exit(128 + signal);
  g_interrupts = 1;
}
}  // namespace

void install_interrupt_handler() {
  g_interrupts = 0;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() {
  return g_interrupts > 0;
}

}  // namespace tessera::flow
