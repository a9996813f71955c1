// SPDX-License-Identifier: Apache-2.0
// The readers of mapping.json and run.json on broken input: a file loads or ends in tessera::Error.
#include <cstddef>
#include <cstdint>

#include "tessera/core/error.h"
#include "tessera/plan/mapping.h"
#include "tessera/plan/run_record.h"

#include "temporary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = tessera::fuzz::write("m.json", data, size);
  try {
    (void)tessera::plan::read_mapping(file);
  } catch (const tessera::Error&) {
  }
  try {
    (void)tessera::plan::read_run_record(file);
  } catch (const tessera::Error&) {
  }
  return 0;
}
