// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera::hw {

// Two buffers and four MACs in 0.4's form, with its energy table: a base for broken variants.
inline const std::string kSmallSpatial = R"(architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {width: 64, datawidth: 16}
  - !Container
    name: PE
    spatial: {meshX: 4}
    constraints:
      spatial: {factors: [C=1], permutation: [M, C]}
  - !Component
    name: spad
    class: smartbuffer_RF
    attributes: {depth: 24, width: 16, datawidth: 16, read_bandwidth: 2}
    constraints:
      dataspace: {keep: [Weights]}
  - !Component
    name: mac
    class: intmac
ERT:
  version: '0.4'
  tables:
  - name: system.DRAM[1..1]
    actions:
    - {name: read, energy: 512.0}
    - {name: write, energy: 512.0}
  - name: system.spad[1..4]
    actions:
    - {name: read, energy: 0.5, arguments: {x: 0}}
    - {name: read, energy: 0.75, arguments: {x: 1}}
    - {name: write, energy: 1.25}
    - {name: leak, energy: 0.001}
  - name: system.mac[1..4]
    actions:
    - {name: compute, energy: 2.0}
)";

}  // namespace tessera::hw
