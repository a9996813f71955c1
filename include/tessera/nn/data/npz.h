// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace tessera::nn {

// Arrays by name, in the file's order.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

// NumPy's .npz, as savez() and savez_compressed() write it. Types: float16, float32, float64, int8,
// int16, int32, int64, uint8, bool, little endian; C or Fortran order. Throws IoError naming the
// file and the array.
NamedTensors read_npz(const std::filesystem::path& path);

// Uncompressed, atomic. Tensors may lie on any device.
void write_npz(const std::filesystem::path& path, const NamedTensors& arrays);

// The array of this name; null if there is none.
const torch::Tensor* find(const NamedTensors& arrays, std::string_view name);

}  // namespace tessera::nn
