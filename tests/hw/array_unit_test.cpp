// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/hw/read_platform.h"
#include "tessera/hw/read_spatial.h"

#include "support/shared_files.h"

namespace tessera::hw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::filesystem::path hardware_folder() {
  return testing::source_file("configs/hardware");
}

Platform preset(const std::string& name) {
  return load_platform(name, {hardware_folder()});
}

const ArrayUnit& array_of(const Platform& platform) {
  return std::get<ArrayUnit>(platform.units.at(0));
}

// The preset's text with one part replaced, read as if it stood beside the presets.
std::string mistakes(const std::string& from, const std::string& to) {
  std::string text = read_text(hardware_folder() / "eyeriss_like.yaml");
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  try {
    parse_platform(text, (hardware_folder() / "p.yaml").string());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ArrayUnit, HoldsTheArchitectureThatItNames) {
  const Platform platform = preset("eyeriss_like");
  const ArrayUnit& unit = array_of(platform);
  EXPECT_EQ(unit.array, load_spatial_unit("eyeriss_like_16b", {hardware_folder()}));
  EXPECT_EQ(unit.weight_bits, (std::vector<int>{2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(unit.activation_bits, unit.weight_bits);
  // The paper's constant.
  EXPECT_EQ(mac_energy_pj(unit.array.mac, 2), 2.20035);
}

// The two published integer MACs of the energy tables.
TEST(ArrayUnit, PricesMacsByWidthWhereThePlatformSaysSo) {
  for (const std::string name : {"eyeriss_like_width_mac", "simba_like_width_mac"}) {
    const Platform platform = preset(name);
    const MacLevel& mac = array_of(platform).array.mac;
    EXPECT_NEAR(mac_energy_pj(mac, 8), 0.5608, 1e-4);
    EXPECT_NEAR(mac_energy_pj(mac, 16), 2.20035, 1e-3);
    EXPECT_LT(mac_energy_pj(mac, 2), 0.05);
  }
}

TEST(ArrayUnit, IsTheSameAfterWritingAndReading) {
  for (const std::string name : {"eyeriss_like", "simba_like_width_mac"}) {
    const Platform platform = preset(name);
    Platform again =
        parse_platform(write_platform(platform), (hardware_folder() / "x.yaml").string());
    again.sha256 = platform.sha256;
    EXPECT_EQ(again, platform);
  }
}

TEST(ArrayUnit, EnergiesOfItsLevelsStateTheirSource) {
  const auto rows = provenance(preset("simba_like"));
  int levels = 0;
  for (const Provenance& row : rows) {
    EXPECT_NE(row.source, "") << row.path;
    levels += row.path.starts_with("units.array.") && row.path.ends_with(".read");
  }
  EXPECT_EQ(levels, 6);
}

TEST(ArrayUnit, APlatformsHashCoversItsArchitecture) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "tessera_array_unit";
  const std::string platform = read_text(hardware_folder() / "eyeriss_like.yaml");
  const std::string array = read_text(hardware_folder() / "spatial" / "eyeriss_like_16b.yaml");
  write_atomic(folder / "p.yaml", platform);
  const auto hash = [&](const std::string& text) {
    write_atomic(folder / "spatial" / "eyeriss_like_16b.yaml", text);
    return read_platform(folder / "p.yaml").sha256;
  };
  const std::string before = hash(array);
  EXPECT_NE(hash(array + "# a remark\n"), before);
  EXPECT_EQ(hash(array), before);
  std::filesystem::remove_all(folder);
}

TEST(ArrayUnit, SaysWhatIsWrong) {
  EXPECT_THAT(mistakes("spatial/eyeriss_like_16b.yaml", "spatial/nowhere.yaml"),
              AllOf(HasSubstr("units[0].architecture: "), HasSubstr("nowhere.yaml")));
  EXPECT_THAT(mistakes("architecture: spatial/eyeriss_like_16b.yaml", "architecture: hermes.yaml"),
              AllOf(HasSubstr("units[0].architecture: "), HasSubstr("unknown key of the file")));
  EXPECT_THAT(mistakes("weight_bits: [2, 3,", "weight_bits: [3, 3,"),
              HasSubstr("units[0].weight_bits[1]: found 3 after 3; allowed: ascending widths"));
  EXPECT_THAT(mistakes("activation_bits: [2, 3, 4, 5, 6, 7, 8]", "activation_bits: [12]"),
              HasSubstr("units[0].activation_bits[0]: found 12; allowed: 2 to 8, or 16"));
  EXPECT_THAT(
      mistakes("eyeriss_like_16b.yaml\n", "eyeriss_like_8b_same.yaml\n    partial_sum_bits: 24\n"),
      HasSubstr("units[0].partial_sum_bits: found 24; allowed: at most the 8 bits of a word "
                "of psum_spad"));
  EXPECT_THAT(mistakes("    architecture: spatial/eyeriss_like_16b.yaml\n", ""),
              HasSubstr("missing key 'architecture' of spatial unit"));
}

}  // namespace
}  // namespace tessera::hw
