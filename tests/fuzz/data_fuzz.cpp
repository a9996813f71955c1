// SPDX-License-Identifier: Apache-2.0
// The readers of arrays and images (npz, safetensors, IDX, CIFAR-10) on broken input: each file
// loads or ends in tessera::Error.
#include <cstddef>
#include <cstdint>

#include "tessera/core/error.h"
#include "tessera/nn/data/npz.h"
#include "tessera/nn/data/safetensors.h"

#include "nn/data/readers.h"
#include "temporary_file.h"

namespace {

template <typename Read>
void attempt(Read read) {
  try {
    read();
  } catch (const tessera::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const auto file = fuzz::write("array", data, size);
  attempt([&] { (void)nn::read_npz(file); });
  attempt([&] { (void)nn::read_safetensors(file); });
  attempt([&] { (void)nn::detail::read_npz_data(file); });
  for (const char* name :
       {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte", "test_batch.bin", "data_batch_1.bin"})
    fuzz::write(name, data, size);
  attempt([&] { (void)nn::detail::read_idx(fuzz::folder()); });
  attempt([&] { (void)nn::detail::read_cifar10(fuzz::folder()); });
  return 0;
}
