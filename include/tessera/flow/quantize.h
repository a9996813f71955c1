// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/hw/platform.h"
#include "tessera/hw/strum_pe.h"
#include "tessera/plan/mapping.h"

namespace tessera::flow {

// What a search over formats must keep; one of them.
struct QuantizeTarget {
  std::optional<double> max_accuracy_loss;  // against INT8 on the validation part, 0 to 1
  std::optional<double> min_sqnr_db;        // pooled over the layers that may change
  std::optional<double> max_energy_pj;
};

// What `tessera quantize` is asked to do.
struct QuantizeSettings {
  std::filesystem::path network;
  // "int4", "strum:mip2q,p=0.5", …; several, separated by commas, only with a search.
  std::string scheme;
  std::string data;  // empty: no calibration, no accuracy, no ONNX file
  std::string hardware = "flexnn";
  std::filesystem::path out;  // a folder; empty: nothing is written
  // Layers that stay INT8: "first", "last", "depthwise", names; "none".
  std::string keep = "first,last,depthwise";
  std::optional<QuantizeTarget> search;
  bool baselines = true;  // measure FP32 and INT8 on the test set, too
  std::int64_t calibration_images = 1000;
  // With data: how ranges of activations are set, minmax, percentile, mse or entropy.
  std::string ranges = "mse";
  bool equalize = false;         // cross-layer equalisation, before all else
  bool bias_correction = false;  // with data: of the decided formats
  std::uint64_t seed = 1;
  int threads = 0;
  std::string device = "cpu";
};

struct QuantizedLayer {
  std::string name;
  format::NumberFormat format;
  std::int64_t weights = 0;
  std::int64_t stored_bits = 0;
  // Of the weights, against their INT8 codes; infinite where they are the same.
  double sqnr_db = 0;
};

struct QuantizeAccuracy {
  std::optional<double> fp32;
  std::optional<double> int8;
  double quantized = 0;
  std::int64_t images = 0;  // of the test set
};

struct QuantizeReport {
  plan::Mapping mapping;
  std::vector<QuantizedLayer> layers;
  std::string scheme;              // the first one, in full
  double sqnr_db = 0;              // pooled over the layers that may change, in INT8 codes
  double changed_compression = 1;  // of layers that changed: stored bits against 8 a weight
  double compression = 1;          // of all layers
  std::optional<QuantizeAccuracy> accuracy;
  std::size_t equalized_pairs = 0;
  std::size_t corrected_biases = 0;  // layers
  double int8_energy_pj = 0;         // the whole network in INT8 on a plain PE
  // Of PEs built for the scheme; none without a StruM scheme or where the hardware states no PE.
  std::optional<hw::StrumSavings> static_pe;
  std::optional<hw::StrumSavings> dynamic_pe;
  std::int64_t search_labels = 0;       // work of the knapsacks
  std::int64_t search_evaluations = 0;  // mappings measured on the validation part
  std::vector<std::string> files;
  double seconds = 0;
};

// Puts the layers' weights into a format, without training. Base codes of StruM layers are INT8 per
// output channel; other formats are those of `tessera map`. With a search, each layer takes the
// format that an exact multiple-choice knapsack gives it among INT8 and the schemes; a single StruM
// scheme stands for p of 0.25, 0.5 and 0.75 and, for MIP2Q, L of 3, 5 and 7 up to its own.
//
// The accelerator's StruM PEs are taken to be built for the first scheme. Writes into `out`:
// mapping.json, platform.yaml (with those PEs), packed.safetensors and, with data, model.onnx;
// where equalisation or bias correction changed the weights, network.onnx, to which the mapping
// belongs. Infeasible when a search's target cannot be kept. Throws UsageError, ImportError,
// IoError.
Expected<QuantizeReport> quantize_network(const QuantizeSettings& settings);

}  // namespace tessera::flow
