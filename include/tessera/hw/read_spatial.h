// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/config_node.h"
#include "tessera/hw/spatial.h"

namespace tessera::hw {

// Names that constraints may use, besides those of convolutions and matrix products.
struct SpatialNames {
  std::vector<std::string> dims;
  std::vector<std::string> tensors;
};

// A spatial unit in Timeloop's YAML, spread over any number of documents: `architecture` (0.4's
// tree of !Container, !Component and !Parallel, or the flat `subtree` of older files and of
// Timeloop's own dumps), Accelergy's energy table `ERT`, optionally its area table `ART`,
// `architecture_constraints`, and Tessera's own section `tessera` (name, summary, source, MAC
// energy against width). Other sections of such files are skipped. Throws ConfigError with every
// mistake of a document, each with file, line and column, what was found and what is allowed.
SpatialUnit parse_spatial_unit(std::span<const config::Document> documents,
                               const SpatialNames& names = {});

// A preset's name, or files: what holds a '/' or ends in .yaml or .yml, several parted by commas.
// When a single file has no energy table, the files beside it that end in ERT.yaml and ART.yaml
// belong to it. Presets are NAME.yaml in `spatial` of the first of `folders` that has it.
SpatialUnit load_spatial_unit(const std::string& name_or_paths,
                              const std::vector<std::filesystem::path>& folders,
                              const SpatialNames& names = {});

// Names of the presets, sorted.
std::vector<std::string> spatial_preset_names(const std::vector<std::filesystem::path>& folders);

}  // namespace tessera::hw
