// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tessera/cost/tiled.h"
#include "tessera/flow/quantize.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::flow {

// Squared INT8 codes of a layer and the squared distance of its weights to them, in units of the
// INT8 code of each channel.
struct WeightNoise {
  double signal = 0;
  double noise = 0;
};
WeightNoise weight_noise(const torch::Tensor& weight, const format::NumberFormat& format);
double sqnr_db(const WeightNoise& sum);

// The formats that `text` lists. Throws UsageError for what is no format, or not one for weights
// without training (analog).
std::vector<format::NumberFormat> parse_schemes(const std::string& text);

// For each layer whether it stays INT8. Throws UsageError for names that are not there.
std::vector<bool> kept_layers(const std::string& keep, const ir::Workload& workload);

// The first digital unit that runs INT8 and the first scheme, its StruM PE built for that; the
// platform with it. Throws UsageError with what units run.
struct QuantizeUnit {
  hw::Platform platform;
  std::string unit;
};
QuantizeUnit unit_for(hw::Platform platform, const format::NumberFormat& scheme);

// What a search chooses from, for each layer: INT8 alone where it is kept; `formats` otherwise, as
// far as the unit runs them.
struct QuantizeChoices {
  std::vector<std::vector<plan::Path>> paths;
  std::vector<std::vector<WeightNoise>> noise;
  std::vector<std::vector<double>> energy_pj;
  double fixed_pj = 0;  // of everything but layers
};
QuantizeChoices make_choices(const std::function<torch::Tensor(std::size_t layer)>& weight_of,
                             const cost::TiledModel& model, const std::string& unit,
                             std::span<const format::NumberFormat> formats,
                             const std::vector<bool>& kept);

// The candidates of a search: INT8, and for a single StruM scheme its family.
std::vector<format::NumberFormat> search_formats(std::span<const format::NumberFormat> schemes);

// The assignment of least energy whose pooled SQNR is at least `min_db`; or of the least sum of
// relative noise over the layers within `max_energy_pj`.
struct KnapsackChoice {
  plan::Assignment assignment;
  double energy_pj = 0;
  std::int64_t labels = 0;
};
Expected<KnapsackChoice> choose_for_sqnr(const QuantizeChoices& choices, double min_db);
Expected<KnapsackChoice> choose_for_energy(const QuantizeChoices& choices, double max_energy_pj);

}  // namespace tessera::flow
