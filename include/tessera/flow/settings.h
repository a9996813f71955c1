// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/config.h"

namespace tessera::flow {

// What `tessera map` is asked to do: the keys of resolved.yaml and, with dashes, the command line's
// options. Zero means "no limit" for limits and "all" for image counts.
struct MapSettings {
  std::string network;
  std::string hardware;
  std::string data;
  std::string strategy = "mps";
  std::uint64_t seed = 1;
  int threads = 0;
  std::string device = "cpu";
  std::string formats;

  double min_accuracy = 0;     // 0 to 1
  double min_analog_macs = 0;  // 0 to 1
  double max_energy_pj = 0;
  double max_latency_ns = 0;
  double max_minutes = 0;

  std::int64_t calibration_images = 1000;
  std::int64_t validation_images = 2000;
  std::int64_t chips = 3;
  double drift_ns = 86400e9;
  std::int64_t test_images = 0;
  std::int64_t test_chips = 10;
  std::string test_times = "1s,1h,1d,30d";
  bool test_baselines = false;

  std::int64_t batch = 128;
  double learning_rate = 0.005;
  double distillation = 0.7;
  double weight_clip = 2.5;
  std::int64_t mask_steps = 1;
  bool learned_steps = false;
  std::int64_t fair_steps = 60;
  std::int64_t ramp_steps = 240;
  std::int64_t rounds = 12;
  std::int64_t samples = 24;
  std::int64_t selection_images = 1000;
  std::int64_t selection_chips = 1;
  std::int64_t networks = 2;
  std::int64_t extra_tiles = 0;
  double extra_latency = 0.05;
  std::int64_t widened_steps = 0;
  double widened_rate = 0.1;
  std::int64_t search_steps = 0;
  double lionheart_threshold = 0.02;
  std::int64_t lionheart_patience = 5;
  std::string objectives = "accuracy,energy";
  std::string accuracy_by = "supernetwork";
  std::int64_t supernet_steps = 600;
  std::int64_t supernet_models = 4;
  std::string supernet_file;
  std::int64_t short_steps = 100;
  std::int64_t compare_ways = 0;
  std::int64_t population = 40;
  std::int64_t evaluations = 1000;
  std::string operators = "standard";
  bool fixed_ends = true;
  bool tie_shapes = false;
  std::int64_t warm_programs = 40;
  std::int64_t hessian_images = 256;
  std::int64_t hessian_probes = 16;
  std::int64_t front_size = 5;
  std::string nest_objective = "edp";
  std::string nest_cache;
  std::int64_t tune_steps = 300;
  double tune_rate = 0.005;
  bool trained_baselines = true;
  std::int64_t baseline_steps = 0;
};

const config::Schema<MapSettings>& map_schema();

// Settings from a YAML file (if any) with `overrides` (schema keys and their text, from the command
// line) on top. All mistakes together in one ConfigError; those of an override name "--key".
MapSettings read_map_settings(const std::optional<std::filesystem::path>& file,
                              const std::map<std::string, std::string>& overrides);

// Every key with its value: what read_map_settings() reads back.
std::string resolved_yaml(const MapSettings& settings);

// The same as text by key.
std::map<std::string, std::string> settings_by_key(const MapSettings& settings);

// Seconds of "1s,1h,1d,30d", ascending. Throws UsageError.
std::vector<double> parse_times(const std::string& text);

}  // namespace tessera::flow
