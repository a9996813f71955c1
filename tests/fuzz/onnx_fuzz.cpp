// SPDX-License-Identifier: Apache-2.0
// The reader of ONNX files on broken input: each file either loads, and then its graph can be
// canonicalized, counted and written again, or ends in tessera::Error.
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "tessera/core/error.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

#include "temporary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::filesystem::path file = fuzz::write("m.onnx", data, size);
  try {
    const ir::Graph graph =
        ir::canonicalize(onnx::import_onnx(file, {.constants = onnx::Constants::kInFile}));
    (void)ir::understood_workload(graph);
    (void)ir::canonical_hash(graph);
    if (ir::unknown_operators(graph).empty())
      onnx::export_onnx(graph, {}, file);
  } catch (const Error&) {
  }
  return 0;
}
