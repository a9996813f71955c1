// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "tessera/nn/data/npz.h"

namespace tessera::nn {

// The safetensors format, which PyTorch, JAX and others read: an 8-byte length, a JSON header with
// types, shapes and offsets, the values. Types: those of read_npz().
struct SafeTensors {
  NamedTensors tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Throws IoError naming the file and the tensor, for any header that does not describe the bytes
// exactly: lengths, gaps, overlaps.
SafeTensors read_safetensors(const std::filesystem::path& path);

// Atomic. The same content gives the same bytes. REQUIRES: distinct names, none "__metadata__".
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace tessera::nn
