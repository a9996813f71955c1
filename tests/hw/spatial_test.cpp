// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"
#include "tessera/hw/read_spatial.h"

#include "hw/small_spatial.h"
#include "support/shared_files.h"

namespace tessera::hw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SpatialUnit parse(const std::string& text) {
  const std::array<config::Document, 1> documents = {config::parse_yaml(text, "unit.yaml")};
  return parse_spatial_unit(documents);
}

std::string replaced(const std::string& what, const std::string& with) {
  std::string text = kSmallSpatial;
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(SpatialUnit, ReadsATree) {
  const SpatialUnit unit = parse(kSmallSpatial);
  EXPECT_THAT(unit.level_names(), ElementsAre("spad", "inter_PE_spatial", "DRAM"));
  EXPECT_EQ(unit.mac.instances, 4);
  EXPECT_EQ(unit.levels[0].instances, 4);
  EXPECT_EQ(unit.levels[0].capacity_words, 24);
  EXPECT_EQ(unit.levels[0].read_bandwidth, 2.0);
  EXPECT_THAT(unit.levels[0].bypass, ElementsAre("Inputs", "Outputs"));
  EXPECT_TRUE(unit.levels[1].keeps_nothing);
  EXPECT_EQ(unit.fanout_x(1), 4);
  EXPECT_EQ(unit.fanout_x(0), 1);
  EXPECT_EQ(unit.levels[2].block_words, 4);
  EXPECT_EQ(unit.levels[2].capacity_words, std::nullopt);
  // Of several rows of an action the largest; writes stand for fills and updates.
  EXPECT_EQ(unit.levels[0].read_pj, 0.75);
  EXPECT_EQ(unit.levels[0].write_pj, 1.25);
  EXPECT_EQ(unit.levels[0].leak_pj, 0.001);
  EXPECT_EQ(unit.mac.energy_pj, 2.0);
}

TEST(SpatialUnit, MacEnergyMayDependOnWidths) {
  MacLevel mac;
  mac.energy_pj = 2.2;
  EXPECT_EQ(mac_energy_pj(mac, 8), 2.2);
  mac.energy_by_width = MacEnergyFit{0.0084277, 0.0026788};
  // Published: the integer MACs of the paper's machines.
  EXPECT_NEAR(mac_energy_pj(mac, 8), 0.5608, 1e-4);
  EXPECT_NEAR(mac_energy_pj(mac, 16), 2.20035, 1e-4);
  mac.energy_by_width = MacEnergyTable{{{4, 0.2}, {8, 0.5}}};
  EXPECT_EQ(mac_energy_pj(mac, 5), 0.5);
  EXPECT_EQ(mac_energy_pj(mac, 12), 2.2);
  mac.sub_word_rate = true;
  EXPECT_EQ(macs_per_cycle(mac, 5), 3);
  EXPECT_EQ(macs_per_cycle(mac, 0), 1);
}

TEST(SpatialUnitErrors, NameThePlaceAndWhatWouldBeRight) {
  struct Case {
    const char* what;
    const char* with;
    const char* message;
  };
  const Case cases[] = {
      {"factors: [C=1]", "factors: [X=1]", "unit.yaml:12:27: architecture: unknown dimension 'X'"},
      {"keep: [Weights]", "keep: [Weihgts]",
       "unit.yaml:18:26: architecture: unknown tensor 'Weihgts'; did you mean 'Weights'?"},
      {"name: system.spad[1..4]", "name: system.spat[1..4]",
       "unknown component without a table, 'spad'; did you mean 'spat'?"},
      {"{name: write, energy: 1.25}", "{name: update_, energy: 1.25}",
       "unit.yaml:29:5: missing action 'write' of system.spad[1..4] (found: leak, read, update_)"},
      {"depth: 24", "depth: 0",
       "unit.yaml:16:25: architecture: found '0'; allowed: a whole number of at least 1"},
      {"width: 64", "width: -64", "found '-64'; allowed: a whole number of at least 1"},
      {"meshX: 4", "meshX: 0", "found '0'; allowed: a whole number of at least 1"},
      {"read_bandwidth: 2", "read_bandwith: 2",
       "unknown attribute 'read_bandwith'; did you mean 'read_bandwidth'?"},
      {"class: smartbuffer_RF", "clas: smartbuffer_RF",
       "unit.yaml:15:5: architecture: unknown key of a component 'clas'; did you mean 'class'?"},
      {"!Container", "!Contaner", "unknown node '!Contaner'; did you mean '!Container'?"},
      {"energy: 512.0}", "energy: lots}", "found 'lots'; allowed: a number of at least 0"},
      {"ERT:", "ETR:", "unknown key of the file 'ETR'; did you mean 'ERT'?"},
      {"datawidth: 16, read", "multiple_buffering: 2, datawidth: 16, read",
       "multiple_buffering of '2' is not modelled; allowed: 1"},
      {"width: 16, data", "width: 20, data",
       "a width of 20 bits does not hold whole words of 16 bits"},
  };
  for (const Case& broken : cases) {
    const std::string message = error_of(replaced(broken.what, broken.with));
    EXPECT_THAT(message, HasSubstr(broken.message)) << broken.with;
    EXPECT_THAT(message, HasSubstr("unit.yaml:")) << broken.with;
  }
}

TEST(SpatialUnitErrors, SectionsMustBeThere) {
  EXPECT_THAT(error_of("ERT: {tables: []}\n"), HasSubstr("missing section 'architecture'"));
  EXPECT_THAT(error_of("architecture: {nodes: []}\n"), HasSubstr("missing section 'ERT'"));
  EXPECT_THAT(error_of("architecture: {nodes: []}\nERT: {tables: []}\n"),
              HasSubstr("found no storage level and MAC"));
}

// Ten megabytes of noise, and text that is nearly right, end in one error.
TEST(SpatialUnitErrors, GarbageIsRefused) {
  Rng rng = Rng(1).split("garbage");
  std::string noise(10'000'000, ' ');
  for (char& c : noise)
    c = static_cast<char>(rng.below(256));
  EXPECT_THROW(config::parse_yaml(noise, "noise.yaml"), ConfigError);
  EXPECT_THAT(error_of("[1, 2, 3]\n"), HasSubstr("unit.yaml:1:1: found a list"));
}

TEST(SpatialPresets, EveryShippedFileLoadsUnderItsOwnName) {
  const auto folder = testing::source_file("configs/hardware");
  const auto names = spatial_preset_names({folder});
  EXPECT_EQ(names.size(), 8U);
  for (const std::string& name : names) {
    const SpatialUnit unit = load_spatial_unit(name, {folder});
    EXPECT_EQ(unit.name, name);
    EXPECT_NE(unit.source, "");
    EXPECT_NE(unit.summary, "");
  }
  EXPECT_THROW(load_spatial_unit("eyeris_like_16b", {folder}), ConfigError);
}

// Published: Klhufek et al. 2024, the authors' configurations.
TEST(SpatialPresets, HaveTheirPublishedFigures) {
  const auto folder = testing::source_file("configs/hardware");
  const SpatialUnit eyeriss = load_spatial_unit("eyeriss_like_16b", {folder});
  EXPECT_THAT(eyeriss.level_names(), ElementsAre("psum_spad", "weights_spad", "ifmap_spad",
                                                 "DummyBuffer", "shared_glb", "DRAM"));
  EXPECT_EQ(eyeriss.mac.instances, 168);
  EXPECT_EQ(eyeriss.mac.energy_pj, 2.20035);
  EXPECT_EQ(eyeriss.levels[1].capacity_words, 224);
  EXPECT_EQ(eyeriss.levels[1].write_pj, 1.17943);
  EXPECT_EQ(eyeriss.levels[4].capacity_words, 51'200);
  EXPECT_EQ(eyeriss.levels[4].read_pj, 67.9377);
  EXPECT_EQ(eyeriss.fanout_x(4), 14);
  EXPECT_EQ(eyeriss.fanout_y(3), 12);
  const SpatialUnit narrow = load_spatial_unit("eyeriss_like_8b_changed", {folder});
  EXPECT_EQ(narrow.levels[1].capacity_words, 336);
  EXPECT_EQ(narrow.levels[4].read_bandwidth, 32.0);
  const SpatialUnit simba = load_spatial_unit("simba_like_16b", {folder});
  EXPECT_EQ(simba.mac.instances, 256);
  EXPECT_EQ(simba.levels[0].cluster_size, 64);
  EXPECT_EQ(simba.levels[0].read_pj, 0.981155779);
  EXPECT_EQ(simba.levels[4].capacity_words, 32'768);
  EXPECT_EQ(simba.levels[4].write_pj, 182.7858);
  EXPECT_EQ(load_spatial_unit("simba_like_8b_same", {folder}).levels[1].word_bits, 24);
  EXPECT_EQ(load_spatial_unit("simba_like_fp32", {folder}).mac.energy_pj, 32.328);
}

}  // namespace
}  // namespace tessera::hw
