// SPDX-License-Identifier: Apache-2.0
#include "tessera/hw/platform.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/units.h"
#include "tessera/hw/read_platform.h"

#include "hw/small_platform.h"

namespace tessera::hw {
namespace {

TEST(Platform, ReadsUnitsMemoriesLinksAndGlueInBaseUnits) {
  const Platform platform = parse_platform(kSmallPlatform, "small.yaml");
  EXPECT_EQ(platform.name, "small");
  EXPECT_EQ(platform.sha256, sha256(kSmallPlatform));

  const auto& pcm = std::get<AnalogUnit>(find_unit(platform, "pcm"));
  EXPECT_EQ(pcm.tile_rows, 4);
  EXPECT_EQ(pcm.tile_columns, 8);
  EXPECT_EQ(pcm.tiles, 2);
  EXPECT_EQ(pcm.mvm_latency_ns.value, 40);
  EXPECT_EQ(pcm.mvm_row_pj, (Quantity{2, 0.5, "assumed: a test"}));
  EXPECT_DOUBLE_EQ(pcm.mvm_cell_pj.value, 0.1);
  EXPECT_EQ(pcm.program_cell_pj.value, 1000);

  const auto& npu = std::get<DigitalUnit>(find_unit(platform, "npu"));
  EXPECT_EQ(npu.clock_ghz.value, 0.5);
  ASSERT_EQ(npu.modes.size(), 2U);
  EXPECT_EQ(npu.modes[1].format, (format::NumberFormat{format::Integer{4, 8}}));
  EXPECT_EQ(npu.modes[1].macs_per_cycle, 64);
  EXPECT_EQ(npu.weight_residency, WeightResidency::kResident);

  EXPECT_EQ(find_memory(platform, "sram").capacity_bytes.value, 65536);
  EXPECT_EQ(find_memory(platform, "sram").bandwidth_bytes_per_ns.value, 16);
  ASSERT_EQ(platform.links.size(), 1U);
  EXPECT_EQ(platform.links[0].energy_pj_per_byte.value, 2);
  EXPECT_EQ(platform.default_link.energy_pj_per_byte.value, 3);
  EXPECT_EQ(platform.glue.operations_per_ns.value, 8);
}

TEST(Platform, AskingForWhatIsNotThereIsABug) {
  const Platform platform = parse_platform(kSmallPlatform, "small.yaml");
  EXPECT_THROW(find_unit(platform, "gpu"), InternalError);
  EXPECT_THROW(find_memory(platform, "dram"), InternalError);
}

TEST(Platform, WrittenAndReadAgainIsTheSame) {
  Platform platform = parse_platform(kSmallPlatform, "small.yaml");
  Platform again = parse_platform(write_platform(platform), "again.yaml");
  again.sha256 = platform.sha256;
  EXPECT_EQ(again, platform);
}

TEST(Platform, ProvenanceNamesEveryConstantByItsPath) {
  const std::vector<Provenance> rows = provenance(parse_platform(kSmallPlatform, "small.yaml"));
  const auto find = [&](std::string_view path) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Provenance& r) { return r.path == path; });
    return row == rows.end() ? Provenance{} : *row;
  };
  EXPECT_EQ(find("units.pcm.mvm.row").source, "assumed: a test");
  EXPECT_EQ(find("units.pcm.mvm.row").plus_minus, 0.5);
  EXPECT_EQ(find("units.pcm.mvm.fixed").value, format_quantity(10, Dimension::kEnergy));
  EXPECT_EQ(find("units.npu.input_reads").value, "2");
  EXPECT_NE(find("units.npu.modes.int4/a8.mac").value, "");
  EXPECT_NE(find("memories.sram.read_per_byte").value, "");
  EXPECT_NE(find("links.pcm-npu.bandwidth").value, "");
  EXPECT_NE(find("default_link.bandwidth").value, "");
  EXPECT_NE(find("glue.operation").value, "");
  // 8 of the analog unit, 6 of the digital one, 5 of the memory, 2 of each link, 3 of glue.
  EXPECT_EQ(rows.size(), 26U);
}

}  // namespace
}  // namespace tessera::hw
