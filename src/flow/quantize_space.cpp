// SPDX-License-Identifier: Apache-2.0
#include "quantize_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/baselines.h"
#include "tessera/nn/quant/strum_kernel.h"
#include "tessera/search/multiple_choice_knapsack.h"

namespace tessera::flow {

namespace {

const format::NumberFormat kInt8 = format::Integer{.weight_bits = 8, .activation_bits = 8};

// The weights of a plain format in units of each channel's INT8 code.
torch::Tensor weights_in_int8_codes(const torch::Tensor& weight, const plan::AffineCode& base,
                                    const format::NumberFormat& format) {
  torch::Tensor real = weight;
  if (const auto* integer = std::get_if<format::Integer>(&format)) {
    // The widths of the base codes are what StruM layers start from.
    real =
        integer->weight_bits == 8 && integer->group == 0
            ? nn::dequantize(nn::quantize(weight, base), base)
            : nn::fake_quantize(weight, nn::weight_code(weight, *integer, nn::RangeMethod::kMse));
  } else if (std::get<format::Float>(format).bits == 16) {
    real = nn::fake_float16(weight);
  }
  std::vector<std::int64_t> shape(static_cast<std::size_t>(weight.dim()), 1);
  shape[0] = weight.size(0);
  const torch::Tensor scales = torch::tensor(base.scales).reshape(shape).to(torch::kFloat64);
  return real.to(torch::kFloat64) / scales;
}

}  // namespace

WeightNoise weight_noise(const torch::Tensor& weight, const format::NumberFormat& format) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor w = weight.detach().cpu();
  if (const auto* strum = std::get_if<format::Strum>(&format)) {
    // All in integers: of large layers, floating-point copies would take more than the weights.
    const torch::Tensor int8 = nn::strum_codes(w);
    const std::span<const std::int8_t> base_codes(int8.data_ptr<std::int8_t>(),
                                                  static_cast<std::size_t>(int8.numel()));
    const format::StrumNoise noise = format::strum_noise(
        base_codes,
        format::strum_decode(format::strum_encode(base_codes, nn::weight_shape(int8), *strum)));
    return {.signal = static_cast<double>(noise.signal), .noise = static_cast<double>(noise.noise)};
  }
  const plan::AffineCode base = nn::strum_base_code(w);
  const torch::Tensor codes = nn::quantize(w, base).to(torch::kFloat64);
  const torch::Tensor error = codes - weights_in_int8_codes(w, base, format);
  WeightNoise noise{.signal = codes.square().sum().item<double>(),
                    .noise = error.square().sum().item<double>()};
  // What is left of a division by the scale is no noise.
  if (format == kInt8)
    noise.noise = 0;
  return noise;
}

double sqnr_db(const WeightNoise& sum) {
  return sum.noise > 0 ? 10 * std::log10(sum.signal / sum.noise)
                       : std::numeric_limits<double>::infinity();
}

std::vector<format::NumberFormat> parse_schemes(const std::string& text) {
  std::vector<format::NumberFormat> formats;
  for (const std::string& item : format::split_formats(text)) {
    const auto format = format::parse_number_format(item);
    if (!format)
      throw UsageError("--scheme: " + format.error().detail);
    if (std::holds_alternative<format::Analog>(*format))
      throw UsageError(fmt::format(
          "--scheme: '{}' is analog; allowed: a digital format such as int4/a8 or strum:mip2q",
          item));
    formats.push_back(*format);
  }
  return formats;
}

std::vector<bool> kept_layers(const std::string& keep, const ir::Workload& workload) {
  std::vector<bool> kept(workload.layers.size(), false);
  if (keep == "none" || kept.empty())
    return kept;
  std::vector<std::string> known = {"first", "last", "depthwise", "none"};
  for (const ir::Layer& layer : workload.layers)
    known.push_back(layer.name);
  for (const std::string& word : split(keep, ',')) {
    if (std::find(known.begin(), known.end(), word) == known.end())
      throw UsageError("--keep: " + unknown_name("layer", word, known));
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const ir::LayerDims& dims = workload.layers[i].dims;
      const bool matches = word == workload.layers[i].name || (word == "first" && i == 0) ||
                           (word == "last" && i + 1 == kept.size()) ||
                           (word == "depthwise" && dims.G > 1 && dims.C == dims.G);
      kept[i] = kept[i] || matches;
    }
  }
  return kept;
}

QuantizeUnit unit_for(hw::Platform platform, const format::NumberFormat& scheme) {
  std::string offers;
  for (hw::Unit& unit : platform.units) {
    auto* digital = std::get_if<hw::DigitalUnit>(&unit);
    if (digital == nullptr)
      continue;
    if (const auto* strum = std::get_if<format::Strum>(&scheme);
        strum != nullptr && digital->strum_pe) {
      digital->strum_pe->built_for = *strum;
      digital->strum_pe->schemes = {*strum};
    }
    if (hw::find_mode(*digital, kInt8) && hw::find_mode(*digital, scheme)) {
      std::string name = digital->name;
      return {std::move(platform), std::move(name)};
    }
    for (const hw::DigitalMode& mode : hw::offered_modes(*digital))
      offers += (offers.empty() ? "" : ", ") + format::to_string(mode.format);
  }
  throw UsageError(fmt::format("--scheme: no unit of {} runs int8 and {}; its units run {}",
                               platform.name, format::to_string(scheme), offers));
}

std::vector<format::NumberFormat> search_formats(std::span<const format::NumberFormat> schemes) {
  std::vector<format::NumberFormat> formats = {kInt8};
  const auto add = [&](const format::NumberFormat& format) {
    if (std::find(formats.begin(), formats.end(), format) == formats.end())
      formats.push_back(format);
  };
  const auto* single = schemes.size() == 1 ? std::get_if<format::Strum>(&schemes[0]) : nullptr;
  if (single == nullptr) {
    for (const format::NumberFormat& format : schemes)
      add(format);
    return formats;
  }
  for (const int permille : {250, 500, 750}) {
    format::Strum member = *single;
    member.low_permille = permille;
    auto* mip2q = std::get_if<format::Mip2q>(&member.low);
    const int most = mip2q != nullptr ? mip2q->max_shift : 0;
    for (const int shift : {3, 5, 7}) {
      if (mip2q != nullptr && shift < most) {
        mip2q->max_shift = shift;
        add(member);
      }
    }
    if (mip2q != nullptr)
      mip2q->max_shift = most;
    add(member);
  }
  return formats;
}

QuantizeChoices make_choices(const std::function<torch::Tensor(std::size_t layer)>& weight_of,
                             const cost::TiledModel& model, const std::string& unit,
                             std::span<const format::NumberFormat> formats,
                             const std::vector<bool>& kept) {
  QuantizeChoices choices;
  plan::Assignment int8;
  double layers_pj = 0;
  for (const format::NumberFormat& format : formats) {
    if (format::activation_bits(format) != 8)
      throw UsageError(
          fmt::format("--search: {} has activations of {} bits; allowed: 8, as INT8 layers have",
                      format::to_string(format), format::activation_bits(format)));
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    auto& paths = choices.paths.emplace_back();
    auto& noise = choices.noise.emplace_back();
    auto& energy = choices.energy_pj.emplace_back();
    const std::int64_t channels = model.workload().layers[i].dims.M;
    const torch::Tensor weight = weight_of(i);
    for (const format::NumberFormat& format : formats) {
      const plan::Path path{{{unit, format, {0, channels}}}};
      const auto cost = model.layer_cost(i, path);
      if (!cost || (kept[i] && format != kInt8))
        continue;
      if (format == kInt8) {
        int8.paths.push_back(path);
        layers_pj += cost->energy_pj.total();
      }
      paths.push_back(path);
      noise.push_back(weight_noise(weight, format));
      energy.push_back(cost->energy_pj.total());
    }
    TESSERA_CHECK(int8.paths.size() == i + 1, "layer {} without int8", i);
  }
  const auto whole = model.evaluate(int8);
  if (!whole)
    throw UsageError(fmt::format("--hardware: int8 does not fit: {}", whole.error().detail));
  choices.fixed_pj = whole->totals.energy_pj - layers_pj;
  return choices;
}

namespace {

Expected<KnapsackChoice> solve(const QuantizeChoices& choices, const search::Knapsack& knapsack) {
  const auto solution = search::solve_multiple_choice_knapsack(knapsack);
  if (!solution)
    return tl::unexpected(solution.error());
  KnapsackChoice result{
      .assignment = {}, .energy_pj = choices.fixed_pj, .labels = solution->labels};
  for (std::size_t i = 0; i < solution->choice.size(); ++i) {
    const auto j = static_cast<std::size_t>(solution->choice[i]);
    result.assignment.paths.push_back(choices.paths[i][j]);
    result.energy_pj += choices.energy_pj[i][j];
  }
  return result;
}

}  // namespace

Expected<KnapsackChoice> choose_for_sqnr(const QuantizeChoices& choices, double min_db) {
  search::Knapsack knapsack;
  double signal = 0;
  for (std::size_t i = 0; i < choices.paths.size(); ++i) {
    auto& group = knapsack.groups.emplace_back();
    for (std::size_t j = 0; j < choices.paths[i].size(); ++j)
      group.push_back({choices.energy_pj[i][j], {choices.noise[i][j].noise}});
    // Kept layers have no noise, and would only make the ratio look better.
    if (choices.paths[i].size() > 1)
      signal += choices.noise[i][0].signal;
  }
  knapsack.budgets = {signal / std::pow(10.0, min_db / 10)};
  return solve(choices, knapsack);
}

Expected<KnapsackChoice> choose_for_energy(const QuantizeChoices& choices, double max_energy_pj) {
  search::Knapsack knapsack{.groups = {}, .budgets = {max_energy_pj - choices.fixed_pj}};
  for (std::size_t i = 0; i < choices.paths.size(); ++i) {
    auto& group = knapsack.groups.emplace_back();
    for (std::size_t j = 0; j < choices.paths[i].size(); ++j) {
      const WeightNoise& noise = choices.noise[i][j];
      group.push_back(
          {noise.signal > 0 ? noise.noise / noise.signal : 0, {choices.energy_pj[i][j]}});
    }
  }
  auto choice = solve(choices, knapsack);
  if (choice)
    return choice;
  double least = choices.fixed_pj;
  for (const auto& energies : choices.energy_pj)
    least += *std::min_element(energies.begin(), energies.end());
  return infeasible("energy", fmt::format("at most {:.4g} pJ are asked for; the cheapest formats "
                                          "take {:.4g} pJ",
                                          max_energy_pj, least));
}

}  // namespace tessera::flow
