// SPDX-License-Identifier: Apache-2.0
#pragma once

// Parts of the reader of Timeloop's files; docs/hardware.md says what is read.

#include <map>
#include <string>
#include <vector>

#include "tessera/core/config.h"
#include "tessera/hw/read_spatial.h"
#include "tessera/hw/spatial.h"

namespace tessera::hw::timeloop {

// A node with the mistakes of the document that it stands in.
struct Section {
  const config::Node* node = nullptr;
  config::Findings* findings = nullptr;
  explicit operator bool() const { return node != nullptr; }
};

// Fills levels, the MAC and the constraints that stand inside the architecture; energies stay 0.
void read_architecture(const Section& architecture, const SpatialNames& names, SpatialUnit& unit);

// One entry of a list of constraints, `{target, type, factors, permutation, …}`.
void read_constraint_targets(const Section& constraints, const SpatialNames& names,
                             SpatialUnit& unit);
// Constraints that stand at a component: `{dataspace: {keep, bypass}, temporal, spatial}`.
void read_level_constraints(const config::Node& constraints, const SpatialNames& names,
                            StorageLevel& level, config::Findings& findings);

// Energies (ERT) and areas (ART) by the components' names.
void read_energies(const Section& ert, SpatialUnit& unit);
void read_areas(const Section& art, SpatialUnit& unit);

}  // namespace tessera::hw::timeloop
