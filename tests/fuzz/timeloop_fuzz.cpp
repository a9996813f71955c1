// SPDX-License-Identifier: Apache-2.0
// The readers of Timeloop's files on broken input: each text either loads or ends in
// tessera::Error, whatever it holds. With clang this is a libFuzzer target; fuzz_driver.cpp runs it
// elsewhere.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/core/error.h"
#include "tessera/cost/loop_nest.h"
#include "tessera/hw/read_spatial.h"

namespace {

using namespace tessera;

void read_problem_and_mapping(const config::Document& document) {
  const ir::LoopProblem problem = ir::parse_loop_problem(document);
  ir::parse_bitwidths(document, problem);
  hw::SpatialUnit unit;
  unit.levels.emplace_back();
  unit.levels[0].name = "DRAM";
  const cost::LoopNestModel model(problem, unit);
  const plan::LoopNest nest = plan::parse_loop_nest(document, model.nest_names());
  if (plan::parse_loop_nest(config::parse_yaml(plan::to_yaml(nest), "again"), model.nest_names()) !=
      nest)
    __builtin_trap();
  (void)model.cost(nest, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const config::Document document = config::parse_yaml(text, "fuzz.yaml");
    try {
      hw::parse_spatial_unit({&document, 1});
    } catch (const Error&) {
    }
    read_problem_and_mapping(document);
  } catch (const Error&) {
  }
  return 0;
}
