// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tessera::hw {

// The smallest useful platform file; tests break it line by line.
inline constexpr std::string_view kSmallPlatform = R"(version: 1
name: small
node: 14 nm
units:
  - kind: analog
    name: pcm
    node: 14 nm
    tile: {rows: 4, columns: 8, count: 2, area: 1 mm2}
    dac_bits: 8
    adc_bits: 8
    noise_preset: pcm-lionheart
    mvm:
      latency: 40 ns
      fixed: 10 pJ
      row: {value: 2 pJ, source: "assumed: a test", plus_minus: 50%}
      column: 3 pJ
      cell: 100 fJ
    accumulate: 1 pJ
    program_cell: 1 nJ
  - kind: digital
    name: npu
    node: 14 nm
    clock: 500 MHz
    modes:
      - {format: fp16, macs_per_cycle: 16, mac: 1 pJ}
      - {format: int4/a8, macs_per_cycle: 64, mac: 0.2 pJ}
    weight_memory: sram
    weight_reads: 1
    input_reads: 2
    area: 1 mm2
memories:
  - name: sram
    node: 14 nm
    capacity: 64 KiB
    read_per_byte: 1 pJ
    write_per_byte: 1.5 pJ
    bandwidth: 16 GB/s
    area: 0.1 mm2
activation_memory: sram
links:
  - {from: pcm, to: npu, energy_per_byte: 2 pJ, bandwidth: 8 GB/s}
default_link: {energy_per_byte: 3 pJ, bandwidth: 8 GB/s}
glue: {node: 14 nm, operation: 0.5 pJ, conversion: 0.7 pJ, operations_per_ns: 8}
)";

// kSmallPlatform with the first `from` replaced; empty when it does not occur.
inline std::string broken(std::string_view from, std::string_view to) {
  std::string text(kSmallPlatform);
  const std::size_t at = text.find(from);
  if (at == std::string::npos)
    return "";
  return text.replace(at, from.size(), to);
}

}  // namespace tessera::hw
