// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/hessian.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"
#include "tessera/nn/quant/strum_kernel.h"
#include "tessera/search/multiple_choice_knapsack.h"

namespace tessera::supernet {
namespace {

using nn::Tensor;

bool is_depthwise(const nn::LayerCall& call) {
  const auto* conv = std::get_if<ir::Conv>(&call.op);
  return conv != nullptr && conv->groups > 1 && conv->groups == call.x.size(1) &&
         conv->groups == call.weight.size(0) && call.weight.dim() == 4;
}

// A depthwise convolution as a sum of shifted products: LibTorch takes the second derivatives of a
// grouped convolution group by group, which makes those of a MobileNet a matter of minutes.
Tensor depthwise(const ir::Conv& conv, const nn::LayerCall& call) {
  const auto& pads = conv.pads;
  const Tensor x = at::constant_pad_nd(call.x, {pads[1], pads[3], pads[0], pads[2]});
  const auto outputs = [&](std::int64_t dim) {
    const auto axis = static_cast<std::size_t>(dim - 2);
    const std::int64_t reach = conv.dilations[axis] * (call.weight.size(dim) - 1) + 1;
    return (x.size(dim) - reach) / conv.strides[axis] + 1;
  };
  const auto shifted = [&](const Tensor& from, std::int64_t dim, std::int64_t by) {
    const auto axis = static_cast<std::size_t>(dim - 2);
    const std::int64_t begin = by * conv.dilations[axis];
    const std::int64_t stride = conv.strides[axis];
    return from.slice(dim, begin, begin + (outputs(dim) - 1) * stride + 1, stride);
  };
  Tensor y = call.bias.defined() ? call.bias.reshape({1, -1, 1, 1}) : Tensor();
  for (std::int64_t r = 0; r < call.weight.size(2); ++r) {
    for (std::int64_t s = 0; s < call.weight.size(3); ++s) {
      const Tensor weight = call.weight.select(3, s).select(2, r).reshape({1, -1, 1, 1});
      const Tensor product = shifted(shifted(x, 2, r), 3, s) * weight;
      y = y.defined() ? y + product : product;
    }
  }
  return y;
}

// Float arithmetic that keeps each layer's input, to ask for its gradient later.
class InputKeeper final : public nn::LayerRunner {
 public:
  explicit InputKeeper(std::size_t layers) : inputs_(layers) {}
  Tensor run(const nn::LayerCall& call) override {
    // Where no weight stands before it, an input has no gradient of its own accord.
    const Tensor x = call.x.requires_grad() ? call.x : call.x.detach().requires_grad_(true);
    inputs_.at(call.layer) = x;
    const nn::LayerCall kept{
        .layer = call.layer, .op = call.op, .x = x, .weight = call.weight, .bias = call.bias};
    return is_depthwise(kept) ? depthwise(std::get<ir::Conv>(kept.op), kept)
                              : nn::apply_layer(kept.op, kept.x, kept.weight, kept.bias);
  }
  const std::vector<Tensor>& inputs() const { return inputs_; }

 private:
  std::vector<Tensor> inputs_;
};

// Drawn on the host, so that they are the same on every device.
Tensor random_signs(const Tensor& like, Rng rng) {
  Tensor signs = torch::empty(like.sizes(), torch::kFloat32);
  float* const values = signs.data_ptr<float>();
  std::uint64_t bits = 0;
  for (std::int64_t i = 0; i < signs.numel(); ++i, bits >>= 1) {
    if (i % 64 == 0)
      bits = rng.next_u64();
    values[i] = (bits & 1) != 0 ? 1.0F : -1.0F;
  }
  return signs.to(like.device());
}

constexpr std::int64_t kBatch = 64;

}  // namespace

std::vector<Curvature> curvature(const nn::Network& start, const nn::Dataset& data,
                                 const nn::Preprocessing& preprocessing,
                                 const HessianOptions& options, const Rng& rng) {
  const nn::Network network = start.clone();
  std::vector<Tensor> weights;
  for (const nn::LayerParameters& layer : network.layers())
    weights.push_back(layer.weight.requires_grad_(true));
  const nn::Split part = nn::take(data.train, options.images);
  std::vector<Curvature> sums(weights.size());
  for (std::int64_t begin = 0; begin < part.size(); begin += kBatch) {
    const std::int64_t end = std::min(begin + kBatch, part.size());
    const nn::Split batch = nn::part_of(part, begin, end);
    InputKeeper keeper(weights.size());
    const Tensor outputs = network.forward(nn::network_inputs(batch, preprocessing), keeper);
    // Summed over images, so that each one's gradient in its own inputs is at its scale.
    const double labels_each =
        static_cast<double>(batch.labels.numel()) / static_cast<double>(batch.size());
    const Tensor loss = at::cross_entropy_loss(nn::class_scores(outputs, batch.labels),
                                               batch.labels, {}, at::Reduction::Sum) /
                        labels_each;
    const auto input_gradients = torch::autograd::grad({loss}, keeper.inputs(), {}, true);
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i].input_trace += input_gradients[i].square().sum().item<double>();
    const auto gradients = torch::autograd::grad({loss}, weights, {}, true, true);
    for (std::int64_t probe = 0; probe < options.probes; ++probe) {
      const Rng draw =
          rng.split(static_cast<std::uint64_t>(begin)).split(static_cast<std::uint64_t>(probe));
      std::vector<Tensor> signs;
      Tensor product = torch::zeros({}, loss.options());
      for (std::size_t i = 0; i < weights.size(); ++i) {
        signs.push_back(random_signs(weights[i], draw.split(i)));
        product = product + (gradients[i] * signs[i]).sum();
      }
      const auto curved = torch::autograd::grad({product}, weights, {}, true);
      for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i].weight_trace +=
            (curved[i] * signs[i]).sum().item<double>() / static_cast<double>(options.probes);
    }
  }
  for (Curvature& sum : sums) {
    sum.weight_trace /= static_cast<double>(part.size());
    sum.input_trace /= static_cast<double>(part.size());
  }
  return sums;
}

namespace {

// |Q(w) - w|² in a digital format.
double weight_error(const Tensor& weight, const format::NumberFormat& format) {
  Tensor rounded = weight;
  if (const auto* integer = std::get_if<format::Integer>(&format)) {
    rounded = nn::fake_quantize(weight, nn::weight_code(weight, *integer, nn::RangeMethod::kMse));
  } else if (const auto* strum = std::get_if<format::Strum>(&format)) {
    rounded = nn::strum_values(nn::strum_pack(weight, *strum), weight);
  }
  return (rounded - weight).square().sum().item<double>();
}

// Mean squared error of the input's code; 0 for floats.
double input_error(const nn::RangeObserver& seen, const format::NumberFormat& format) {
  if (std::holds_alternative<format::Float>(format))
    return 0;
  const plan::AffineCode code = nn::activation_code(seen, format::activation_bits(format), {});
  return seen.mse(code.scales[0], code.zero_points[0], code.low, code.high);
}

}  // namespace

std::vector<std::vector<double>> predicted_losses(const Problem& problem,
                                                  const std::vector<Curvature>& curvatures) {
  const torch::NoGradGuard no_grad;
  std::vector<std::vector<double>> losses;
  for (std::size_t layer = 0; layer < problem.space.size(); ++layer) {
    const Tensor& weight = problem.network.layers()[layer].weight;
    const Curvature& bend = curvatures.at(layer);
    auto& row = losses.emplace_back();
    // By the weights' part of a format, which paths share.
    std::map<std::string, double> weight_errors;
    for (const plan::Path& path : problem.space[layer]) {
      double loss = 0;
      for (const plan::Part& part : path.parts) {
        if (std::holds_alternative<format::Analog>(part.format)) {
          loss = std::numeric_limits<double>::infinity();
          continue;
        }
        const std::string format = format::to_string(part.format);
        const auto [error, is_new] = weight_errors.try_emplace(format.substr(0, format.find('/')));
        if (is_new)
          error->second = weight_error(weight, part.format);
        // A saddle's negative trace would reward errors.
        loss += 0.5 * std::max(bend.weight_trace, 0.0) / static_cast<double>(weight.numel()) *
                    error->second +
                0.5 * bend.input_trace * input_error(problem.ranges[layer], part.format);
      }
      row.push_back(loss);
    }
  }
  return losses;
}

std::vector<Choice> integer_program_choices(const Problem& problem, const Space& space,
                                            std::span<const int> groups,
                                            const std::vector<std::vector<double>>& losses,
                                            std::int64_t budgets) {
  // What each path of a group loses and costs, all its layers together.
  std::vector<std::vector<search::KnapsackItem>> paths;
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    const auto group = static_cast<std::size_t>(groups[layer]);
    paths.resize(std::max(paths.size(), group + 1));
    paths[group].resize(space[layer].size(), {.loss = 0, .costs = {0}});
    const auto& known = problem.space[layer];
    for (std::size_t path = 0; path < space[layer].size(); ++path) {
      const auto index = std::find(known.begin(), known.end(), space[layer][path]) - known.begin();
      const auto cost = problem.model.layer_cost(layer, space[layer][path]);
      TESSERA_CHECK(cost.has_value(), "layer {}: {}", layer, cost.error().detail);
      paths[group][path].loss += losses[layer].at(static_cast<std::size_t>(index));
      paths[group][path].costs[0] += cost->energy_pj.total();
    }
  }
  search::Knapsack knapsack;
  std::vector<std::vector<int>> position;  // of a group's items among its paths
  double least = 0;
  double most = 0;
  for (std::size_t group = 0; group < paths.size(); ++group) {
    auto& items = knapsack.groups.emplace_back();
    auto& positions = position.emplace_back();
    for (std::size_t path = 0; path < paths[group].size(); ++path) {
      if (std::isinf(paths[group][path].loss))
        continue;
      items.push_back(paths[group][path]);
      positions.push_back(static_cast<int>(path));
    }
    if (items.empty()) {
      const auto layer = std::find(groups.begin(), groups.end(), static_cast<int>(group));
      throw UsageError(fmt::format(
          "layer {} has only analog paths, whose noise an integer program over Hessian "
          "sensitivities does not know; allowed: formats with a digital one for every layer",
          problem.model.workload().layers[static_cast<std::size_t>(layer - groups.begin())].name));
    }
    const auto [cheapest, dearest] = std::ranges::minmax(
        items, {}, [](const search::KnapsackItem& item) { return item.costs[0]; });
    least += cheapest.costs[0];
    most += dearest.costs[0];
  }
  std::vector<Choice> choices;
  for (std::int64_t k = 0; k < budgets; ++k) {
    // The least itself could be missed by rounding.
    const double share =
        static_cast<double>(k) / static_cast<double>(std::max<std::int64_t>(budgets - 1, 1));
    knapsack.budgets = {least + share * (most - least) + 1e-9 * most};
    const auto solution = search::solve_multiple_choice_knapsack(knapsack);
    TESSERA_CHECK(solution.has_value(), "{}", solution.error().detail);
    Choice choice;
    for (const int group : groups) {
      const auto g = static_cast<std::size_t>(group);
      choice.push_back(position[g][static_cast<std::size_t>(solution->choice[g])]);
    }
    if (std::find(choices.begin(), choices.end(), choice) == choices.end())
      choices.push_back(std::move(choice));
  }
  return choices;
}

}  // namespace tessera::supernet
