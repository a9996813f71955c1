// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/hw/read_platform.h"

#include "hw/small_platform.h"
#include "support/shared_files.h"

namespace tessera::hw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string mistakes(const std::string& text) {
  try {
    parse_platform(text, "p.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

struct Case {
  std::string name;
  std::string from;  // in kSmallPlatform
  std::string to;
  std::string message;
};

std::string case_name(const ::testing::TestParamInfo<Case>& tested) {
  return tested.param.name;
}

class BrokenPlatform : public ::testing::TestWithParam<Case> {};

TEST_P(BrokenPlatform, SaysWhereAndWhatIsAllowed) {
  const std::string text = broken(GetParam().from, GetParam().to);
  ASSERT_NE(text, "");
  EXPECT_THAT(mistakes(text), ::testing::StartsWith(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BrokenPlatform,
    ::testing::Values(
        Case{"no_version", "version: 1\n", "", "p.yaml:1:1: missing key 'version' of platform"},
        Case{"other_version", "version: 1", "version: 2",
             "p.yaml:1:10: version: found '2'; allowed: '1'"},
        Case{"misspelt_key", "dac_bits", "dac_bit",
             "p.yaml:5:5: units[0]: missing key 'dac_bits' of analog unit\n"
             "p.yaml:9:5: units[0]: unknown key 'dac_bit'; did you mean 'dac_bits'? (known: kind, "
             "name, node, tile, dac_bits, adc_bits, noise_preset, mvm, accumulate, program_cell)"},
        Case{"unknown_kind", "kind: analog", "kind: analogue",
             "p.yaml:5:11: units[0].kind: unknown kind 'analogue'; did you mean 'analog'? (known: "
             "analog, digital, spatial)"},
        Case{"no_kind", "kind: analog\n    name: pcm", "name: pcm",
             "p.yaml:5:5: units[0]: missing key 'kind': `analog` or `digital`"},
        Case{"no_unit_of_measure", "latency: 40 ns", "latency: 40",
             "p.yaml:13:16: units[0].mvm.latency: '40' is not a quantity of time (the unit is "
             "missing); allowed: a number with one of ps, ns, us, ms"},
        Case{"wrong_unit_of_measure", "fixed: 10 pJ", "fixed: 10 ns",
             "p.yaml:14:14: units[0].mvm.fixed: '10 ns' is not a quantity of energy (unknown unit "
             "'ns'); allowed: a number with one of fJ, pJ, nJ, uJ, mJ, J"},
        Case{"out_of_range", "rows: 4", "rows: 0",
             "p.yaml:8:18: units[0].tile.rows: found '0'; allowed: whole number, 1 to 65536"},
        Case{"negative_energy", "mac: 1 pJ", "mac: -1 pJ",
             "p.yaml:25:49: units[1].modes[0].mac: found '-1 pJ'; allowed: energy, above 0 pJ"},
        Case{"wrong_type", "count: 2", "count: two",
             "p.yaml:8:40: units[0].tile.count: found 'two'; allowed: whole number, 1 to 1000000"},
        Case{"analog_mode", "format: fp16", "format: analog:x",
             "p.yaml:25:18: units[1].modes[0].format: found 'analog:x'; allowed: a digital format "
             "such as fp16, int8, int4/a8"},
        Case{"residency", "weight_reads: 1", "weight_residency: steamed\n    weight_reads: 1",
             "p.yaml:28:23: units[1].weight_residency: unknown residency 'steamed'; did you mean "
             "'streamed'? (known: resident, streamed)"},
        Case{"empty_noise_preset", "noise_preset: pcm-lionheart",
             "noise_preset:", "p.yaml:11:5: units[0].noise_preset: found nothing; allowed: name"},
        Case{"name_with_spaces", "name: pcm", "name: my tiles",
             "p.yaml:6:11: units[0].name: found 'my tiles'; allowed: 1 to 64 letters, digits, '_' "
             "and '-'"},
        Case{"duplicate_key", "adc_bits: 8", "dac_bits: 8",
             "p.yaml:5:5: units[0]: missing key 'adc_bits' of analog unit\n"
             "p.yaml:10:5: duplicate key 'dac_bits' (first at line 9)"},
        Case{"fraction_as_reads", "weight_reads: 1", "weight_reads: 0.5",
             "p.yaml:28:19: units[1].weight_reads: found '0.5'; allowed: ratio, 1 to 1000000"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    CrossChecks, BrokenPlatform,
    ::testing::Values(
        Case{"unknown_weight_memory", "weight_memory: sram", "weight_memory: srma",
             "p.yaml:27:20: units[1].weight_memory: unknown memory 'srma'; did you mean 'sram'? "
             "(known: sram)"},
        Case{"unknown_activation_memory", "activation_memory: sram", "activation_memory: l2cache",
             "p.yaml:39:20: activation_memory: unknown memory 'l2cache' (known: sram)"},
        Case{"unknown_link_end", "from: pcm", "from: pmc",
             "p.yaml:41:12: links[0].from: unknown unit 'pmc'; did you mean 'pcm'? (known: pcm, "
             "npu)"},
        Case{"link_to_itself", "from: pcm", "from: npu",
             "p.yaml:41:21: links[0].to: found 'npu' at both ends; allowed: two units"},
        Case{"second_link", "default_link",
             "  - {from: npu, to: pcm, energy_per_byte: 2 pJ, bandwidth: 8 GB/s}\ndefault_link",
             "p.yaml:42:5: links[1]: found a second link between 'npu' and 'pcm'; allowed: one"},
        Case{"same_name", "name: npu", "name: pcm",
             "p.yaml:21:11: units[1].name: found 'pcm', the name of another unit; allowed: a name "
             "of its own\n"
             "p.yaml:41:21: links[0].to: unknown unit 'npu' (known: pcm, pcm)"},
        Case{"other_node", "name: npu\n    node: 14 nm", "name: npu\n    node: 45 nm",
             "p.yaml:22:11: units[1].node: found 45 nm; allowed: 14 nm as the platform, or state "
             "in 'node_scaling' how its figures were scaled"},
        Case{"other_memory_node", "name: sram\n    node: 14 nm", "name: sram\n    node: 28 nm",
             "p.yaml:33:11: memories[0].node: found 28 nm; allowed: 14 nm as the platform, or "
             "state in 'node_scaling' how its figures were scaled"},
        Case{"mode_twice", "format: int4/a8", "format: fp16",
             "p.yaml:26:18: units[1].modes[1].format: found 'fp16' a second time; allowed: each "
             "format once"}),
    case_name);

TEST(PlatformErrors, ScalingMayExplainAnotherNode) {
  const std::string text = broken("name: npu\n    node: 14 nm", "name: npu\n    node: 45 nm");
  EXPECT_EQ(mistakes(text + "node_scaling: \"a published factor\"\n"), "");
}

TEST(PlatformErrors, AtLeastOneUnit) {
  EXPECT_EQ(mistakes("version: 1\nname: x\nnode: 14 nm\nunits: []\nmemories: []\n"
                     "activation_memory: sram\ndefault_link: {energy_per_byte: 1 pJ, bandwidth: 1 "
                     "GB/s}\nglue: {node: 14 nm, operation: 1 pJ, conversion: 1 pJ, "
                     "operations_per_ns: 1}\n"),
            "p.yaml:4:8: units: found an empty list; allowed: list of map with `kind` `analog` or "
            "`digital` or `spatial` (at least 1)\n"
            "p.yaml:5:11: memories: found an empty list; allowed: list of memory (at least 1)");
}

TEST(PlatformErrors, AFreeMultiplicationIsRefused) {
  std::string text = broken("fixed: 10 pJ", "fixed: 0 pJ");
  for (const std::string term : {"row: {value: 2 pJ, source: \"assumed: a test\", plus_minus: 50%}",
                                 "column: 3 pJ", "cell: 100 fJ"}) {
    const std::size_t at = text.find(term);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, term.size(), term.substr(0, term.find(':')) + ": 0 pJ");
  }
  EXPECT_THAT(mistakes(text), HasSubstr("units[0].mvm: found an MVM of 0 pJ"));
}

TEST(PlatformErrors, SeveralMistakesAreReportedTogether) {
  std::string text = broken("rows: 4", "rows: -4");
  text.replace(text.find("clock: 500 MHz"), 14, "clock: fast");
  text.replace(text.find("conversion: 0.7 pJ"), 18, "conversion: 0.7");
  EXPECT_THAT(mistakes(text), AllOf(HasSubstr("p.yaml:8:18: units[0].tile.rows: found '-4'"),
                                    HasSubstr("\np.yaml:23:12: units[1].clock: 'fast'"),
                                    HasSubstr("\np.yaml:43:52: glue.conversion: '0.7'")));
}

TEST(PlatformErrors, FilesThatAreNotThere) {
  EXPECT_THROW(read_platform("/nowhere/chip.yaml"), IoError);
  EXPECT_THROW(load_platform("/nowhere/chip.yaml", {}), IoError);
}

TEST(PlatformErrors, UnknownPresetListsThoseKnown) {
  const auto folder = testing::temp_folder();
  write_atomic(folder / "hermes.yaml", kSmallPlatform);
  write_atomic(folder / "notes.txt", "not a preset");
  try {
    load_platform("hremes", {"/nowhere", folder});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()),
              "unknown platform 'hremes'; did you mean 'hermes'? (known: hermes); a file of your "
              "own is given as PATH.yaml");
  }
  EXPECT_EQ(load_platform("hermes", {"/nowhere", folder}).name, "small");
  EXPECT_EQ(load_platform((folder / "hermes.yaml").string(), {}).name, "small");
}

}  // namespace
}  // namespace tessera::hw
