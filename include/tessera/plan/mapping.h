// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tessera/ir/workload.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/numerics.h"
#include "tessera/plan/path.h"

namespace tessera::plan {

// The decision alone: a path for each layer, in the workload's order.
struct Assignment {
  std::vector<Path> paths;
  bool operator==(const Assignment&) const = default;
};

// One measurement of accuracy. On analog units accuracy is a distribution over programmed chips:
// mean and sample standard deviation of `n` of them, read `t_eval_s` seconds after programming; n =
// 1 and std = 0 without noise.
struct Accuracy {
  std::string metric = "top1";
  double mean = 0;  // 0 to 1
  double std = 0;
  std::int64_t n = 1;
  double t_eval_s = 0;
  std::string split;  // "test", "validation"
  std::int64_t images = 0;
  bool operator==(const Accuracy&) const = default;
};

struct FileRef {
  std::string file;
  std::string sha256;
  bool operator==(const FileRef&) const = default;
};

struct PlatformRef {
  std::string name;
  std::string sha256;
  bool operator==(const PlatformRef&) const = default;
};

struct SearchRecord {
  std::string strategy;
  std::uint64_t seed = 0;
  std::int64_t evaluations = 0;
  std::int64_t training_samples = 0;
  bool operator==(const SearchRecord&) const = default;
};

// mapping.json: the decision, what it costs, how accurate it is, and what it belongs to. A result
// and an input.
struct Mapping {
  FileRef network;
  PlatformRef platform;
  Assignment assignment;
  // Rows for the reader of the file; recomputed, never trusted, when a mapping is an input.
  ir::Workload workload;
  Cost cost;
  std::vector<Accuracy> accuracy;
  Numerics numerics;    // of integer and analog layers; written under "numerics"
  std::string weights;  // a safetensors file beside the mapping; empty: the network's own
  SearchRecord search;
  double seconds = 0;  // wall time, under "timing", outside every hash and comparison
};

// In the order of the design document's example. Numbers read back to the same bits; one that is
// not finite is a bug (InternalError). docs/mapping.schema.json describes the result.
nlohmann::ordered_json to_json(const Mapping& mapping);

// What a mapping.json says that is an input: the assignment by layer name, numerics, weights,
// references.
struct MappingInput {
  std::string file;  // where it was read, for messages
  FileRef network;
  PlatformRef platform;
  std::vector<std::pair<std::string, Path>> paths;
  Numerics numerics;
  std::string weights;
};
// Throws IoError, or ConfigError with file, line, column, the value found and those allowed.
MappingInput read_mapping(const std::filesystem::path& path);
// The paths in the workload's order; ConfigError names layers that are missing, not in the network,
// or of another number of output channels. Units and formats are the cost model's to check.
Assignment assignment_for(const MappingInput& input, const ir::Workload& workload);

}  // namespace tessera::plan
