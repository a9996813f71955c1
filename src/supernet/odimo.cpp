// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/odimo.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/cost/split_cost.h"
#include "tessera/supernet/channels.h"

#include "members.h"

namespace tessera::supernet {
namespace {

constexpr std::string_view kName = "odimo";
const std::string kSearch = "channels choose units";
const std::string kTune = "fine-tuning";

// One layer's ways to run, over shared weights.
struct SharedLayer {
  std::vector<plan::Path> paths;
  std::vector<std::unique_ptr<nn::LayerKernel>> kernels;  // by path; null: float32
  std::optional<cost::SplitCost> cost;                    // with more than one path
  nn::Tensor alpha;  // [paths, channels / step], parameters of the softmax
  std::int64_t step = 1;
};

// A network whose layers run all their paths at once, each channel's outputs weighted by its
// softmax.
class SharedNetwork {
 public:
  explicit SharedNetwork(const Problem& problem) : network_(problem.network.clone()) {
    const auto& layers = network_.workload().layers;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      SharedLayer& layer = layers_.emplace_back();
      layer.paths = sharing_paths(problem.space[i]);
      for (const plan::Path& path : layer.paths) {
        layer.kernels.push_back(
            nn::make_kernel(path, problem.model.platform(), problem.ranges[i], network_.device()));
      }
      if (layer.paths.size() < 2)
        continue;
      layer.cost.emplace(problem.model, i, layer.paths);
      layer.step = layer.cost->channel_step();
      layer.alpha = torch::zeros({static_cast<std::int64_t>(layer.paths.size()),
                                  layers[i].dims.M / layer.step},
                                 torch::device(network_.device()))
                        .requires_grad_();
      // Cost of the layer on its first path, what the loss counts in.
      std::vector<double> first(layer.paths.size(), 0.0);
      first[0] = static_cast<double>(layers[i].dims.M);
      const cost::SplitCost::Value alone = layer.cost->at(first);
      energy_pj_ += alone.energy_pj;
      latency_ns_ += alone.latency_ns;
    }
    noise_seed_ = nn::NoiseStream::make_seed(network_.device());
  }

  const nn::Network& network() const { return network_; }
  const std::vector<SharedLayer>& layers() const { return layers_; }

  std::vector<nn::Tensor> alphas() const {
    std::vector<nn::Tensor> all;
    for (const SharedLayer& layer : layers_) {
      if (layer.alpha.defined())
        all.push_back(layer.alpha);
    }
    return all;
  }

  // Shared weights and the kernels' own parameters, without the softmax's.
  std::vector<nn::Tensor> parameters() const {
    std::vector<nn::Tensor> all = network_.parameters();
    for (const SharedLayer& layer : layers_) {
      for (const auto& kernel : layer.kernels) {
        if (kernel == nullptr)
          continue;
        for (const nn::Tensor& parameter : kernel->parameters())
          all.push_back(parameter);
      }
    }
    return all;
  }

  // The same with the kernels' buffers, for a trainer.
  nn::Trained trained() const {
    nn::Trained all{.parameters = parameters()};
    for (const SharedLayer& layer : layers_) {
      for (const auto& kernel : layer.kernels) {
        if (kernel == nullptr)
          continue;
        for (const nn::Tensor& buffer : kernel->buffers())
          all.buffers.push_back(buffer);
      }
    }
    return all;
  }

  void prepare_training(const Rng& rng, bool refresh_masks) {
    nn::NoiseStream::set_seed(noise_seed_, rng);
    std::uint64_t key = 0;
    for (const SharedLayer& layer : layers_) {
      for (const auto& kernel : layer.kernels) {
        ++key;
        if (kernel == nullptr)
          continue;
        kernel->set_training(true);
        kernel->set_strength(1);
        kernel->set_noise(nn::NoiseStream(noise_seed_, key));
        if (refresh_masks)
          kernel->refresh_mask();
      }
    }
  }

  nn::Tensor forward(const std::vector<nn::Tensor>& inputs, double temperature) {
    Runner runner(*this, temperature);
    return network_.forward(inputs, runner);
  }

  // A tensor whose gradient is that of the mean of energy and latency, relative to every layer's
  // first path, by SplitCost's slopes. The expected channels are read back once.
  nn::Tensor cost(double temperature) const {
    std::vector<nn::Tensor> expected;
    for (const SharedLayer& layer : layers_) {
      if (layer.alpha.defined()) {
        expected.push_back(torch::softmax(layer.alpha / temperature, 0).sum(1) *
                           static_cast<double>(layer.step));
      }
    }
    const nn::Tensor channels = at::cat(expected);
    const nn::Tensor values = channels.detach().to(torch::kFloat64).cpu().contiguous();
    const double* at = values.data_ptr<double>();
    std::vector<double> slopes;
    for (const SharedLayer& layer : layers_) {
      if (!layer.alpha.defined())
        continue;
      const std::size_t paths = layer.paths.size();
      const cost::SplitCost::Value value = layer.cost->at({at, paths});
      at += paths;
      for (std::size_t i = 0; i < paths; ++i) {
        slopes.push_back(
            0.5 * (value.energy_slope[i] / energy_pj_ + value.latency_slope[i] / latency_ns_));
      }
    }
    const nn::Tensor slope =
        torch::tensor(slopes, torch::kFloat64).to(channels.device(), torch::kFloat32);
    return channels.dot(slope);
  }

  // Each channel's most probable path; of equals the first.
  std::vector<ChannelChoice> choices() const {
    std::vector<ChannelChoice> all;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const SharedLayer& layer = layers_[i];
      const std::int64_t channels = network_.workload().layers[i].dims.M;
      ChannelChoice& own = all.emplace_back(
          ChannelChoice{layer.paths, layer.alpha.defined() ? layer.step : channels, {0}});
      if (!layer.alpha.defined())
        continue;
      const nn::Tensor alpha = layer.alpha.detach().cpu().contiguous();
      const auto columns = static_cast<std::size_t>(alpha.size(1));
      const float* values = alpha.data_ptr<float>();
      own.path_of.assign(columns, 0);
      for (std::size_t c = 0; c < columns; ++c) {
        int& best = own.path_of[c];
        for (std::size_t p = 1; p < layer.paths.size(); ++p) {
          if (values[p * columns + c] > values[static_cast<std::size_t>(best) * columns + c])
            best = static_cast<int>(p);
        }
      }
    }
    return all;
  }

 private:
  class Runner final : public nn::LayerRunner {
   public:
    Runner(const SharedNetwork& net, double temperature) : net_(net), temperature_(temperature) {}
    nn::Tensor run(const nn::LayerCall& call) override {
      const SharedLayer& layer = net_.layers_[call.layer];
      const auto output = [&](std::size_t path) {
        nn::LayerKernel* kernel = layer.kernels[path].get();
        return kernel != nullptr ? kernel->forward(call)
                                 : nn::apply_layer(call.op, call.x, call.weight, call.bias);
      };
      if (!layer.alpha.defined())
        return output(0);
      const nn::Tensor share =
          torch::softmax(layer.alpha / temperature_, 0).repeat_interleave(layer.step, 1);
      nn::Tensor sum;
      for (std::size_t path = 0; path < layer.paths.size(); ++path) {
        const nn::Tensor own = share.select(0, static_cast<std::int64_t>(path));
        const bool conv = std::holds_alternative<ir::Conv>(call.op);
        const nn::Tensor term = output(path) * (conv ? own.reshape({-1, 1, 1}) : own);
        sum = sum.defined() ? sum + term : term;
      }
      return sum;
    }

   private:
    const SharedNetwork& net_;
    double temperature_;
  };

  nn::Network network_;
  std::vector<SharedLayer> layers_;
  nn::Tensor noise_seed_;
  double energy_pj_ = 0;
  double latency_ns_ = 0;
};

// Adam (Kingma and Ba 2015) with its usual constants.
class Adam {
 public:
  Adam(std::vector<nn::Tensor> parameters, double rate)
      : parameters_(std::move(parameters)), rate_(rate) {
    for (const nn::Tensor& parameter : parameters_) {
      first_.push_back(torch::zeros_like(parameter.detach()));
      second_.push_back(torch::zeros_like(parameter.detach()));
    }
  }

  void clear_gradients() {
    for (const nn::Tensor& parameter : parameters_)
      parameter.mutable_grad() = nn::Tensor();
  }

  // `step` counts from 1.
  void update(std::int64_t step) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    const torch::NoGradGuard no_grad;
    const auto t = static_cast<double>(step);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const nn::Tensor& gradient = parameters_[i].grad();
      first_[i].mul_(kBeta1).add_(gradient, 1 - kBeta1);
      second_[i].mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
      parameters_[i].sub_(
          (first_[i] / (1 - std::pow(kBeta1, t)))
              .div_((second_[i] / (1 - std::pow(kBeta2, t))).sqrt_().add_(kEpsilon)),
          rate_);
    }
  }

  void add_state(nn::TensorMap& tensors) const {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      tensors[fmt::format("alpha.{}", i)] = parameters_[i].detach().clone();
      tensors[fmt::format("alpha.first.{}", i)] = first_[i].clone();
      tensors[fmt::format("alpha.second.{}", i)] = second_[i].clone();
    }
  }

  void restore(const nn::TensorMap& tensors) {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      for (const auto& [name, target] :
           {std::pair{fmt::format("alpha.{}", i), parameters_[i]},
            std::pair{fmt::format("alpha.first.{}", i), first_[i]},
            std::pair{fmt::format("alpha.second.{}", i), second_[i]}}) {
        const auto found = tensors.find(name);
        if (found == tensors.end() || found->second.sizes() != target.sizes())
          throw IoError(fmt::format("checkpoint: '{}' is missing or has another shape", name));
        target.copy_(found->second);
      }
    }
  }

 private:
  std::vector<nn::Tensor> parameters_, first_, second_;
  double rate_;
};

class OdimoRun {
 public:
  OdimoRun(const OdimoOptions& options, const Problem& problem, Observer& observer)
      : options_(options),
        problem_(problem),
        members_(kName, options.strengths.size(), problem, observer) {}

  Solution run() {
    const bool has_choice =
        std::any_of(problem_.space.begin(), problem_.space.end(),
                    [](const auto& paths) { return sharing_paths(paths).size() > 1; });
    if (!has_choice) {
      throw UsageError(
          fmt::format("strategy {}: no layer has integer or analog paths on two units; "
                      "allow more with --formats",
                      kName));
    }
    while (members_.turn() < options_.strengths.size() && turn()) {
    }
    return members_.solution(options_.training.batch);
  }

 private:
  std::int64_t search_steps() const {
    return static_cast<std::int64_t>(
        std::llround(static_cast<double>(steps_of_turn()) * options_.search_share));
  }
  std::int64_t steps_of_turn() const { return members_.share_of(options_.steps); }
  double temperature(std::int64_t step) const {
    const double progress =
        static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(search_steps(), 1));
    return options_.temperature *
           std::pow(options_.final_temperature / options_.temperature, progress);
  }

  nn::Trainer trainer(nn::Trained trained, std::int64_t steps, const Rng& rng) const {
    nn::TrainingOptions training = options_.training;
    training.steps = steps;
    return {std::move(trained), problem_.data, problem_.preprocessing,
            training,           rng,           &problem_.network};
  }

  // One strength of the cost. False when the run is to end before its end.
  bool turn() {
    const Rng rng = problem_.rng.split("strength").split(members_.turn());
    SharedNetwork net(problem_);
    // The search's end is part of the fine-tuning's checkpoint: its weights and the softmax's
    // parameters, from which the mapping follows.
    Adam adam(net.alphas(), options_.alpha_rate);
    nn::Trainer search = trainer(net.trained(), search_steps(), rng.split("search"));
    const auto tuning = members_.training(kTune);
    if (!tuning && !run_search(net, adam, search, rng))
      return false;
    if (tuning)
      adam.restore(tuning->tensors);
    std::vector<ChannelChoice> choices = net.choices();
    const auto assignment = fitting_assignment(problem_.model, choices);
    if (!assignment) {
      members_.skip(search_steps());
      return true;
    }
    nn::MappedNetwork mapped(net.network(), *assignment, problem_.model.platform(),
                             problem_.ranges);
    mapped.load_kernel_state(kernels_of(net, *assignment));
    nn::Trainer tune =
        trainer(mapped.trained(), steps_of_turn() - search_steps(), rng.split("tune"));
    if (tuning)
      tune.restore(tuning->tensors);
    const detail::Members::Stretch stretch{kTune, search_steps(), steps_of_turn()};
    const auto with_alphas = [&](Checkpoint& checkpoint) { adam.add_state(checkpoint.tensors); };
    if (!members_.train(mapped, tune, stretch, rng.split("tuning noise"), with_alphas))
      return false;
    members_.add(mapped, problem_.model.evaluate(*assignment)->totals, steps_of_turn());
    return true;
  }

  bool run_search(SharedNetwork& net, Adam& adam, nn::Trainer& search, const Rng& rng) {
    if (const auto checkpoint = members_.training(kSearch)) {
      search.restore(checkpoint->tensors);
      adam.restore(checkpoint->tensors);
    }
    const double strength = options_.strengths[members_.turn()];
    const auto step = [&] {
      const std::int64_t now = search.steps_done();
      net.prepare_training(rng.split("noise").split(static_cast<std::uint64_t>(now)),
                           search.mask_is_due());
      adam.clear_gradients();
      const nn::Tensor loss = search.step([&](const nn::Batch& batch) {
        const double tau = temperature(now);
        const nn::Tensor task = search.loss(net.forward(batch.inputs, tau), batch);
        (task + net.cost(tau) * strength).backward();
        return task.detach();
      });
      adam.update(search.steps_done());
      return loss;
    };
    return members_.train(search, {kSearch, 0, steps_of_turn()}, step,
                          [&](Checkpoint& checkpoint) { adam.add_state(checkpoint.tensors); });
  }

  // The searched kernels' own parameters under the mapping's names: those of a layer's parts, in
  // the order of their first channels.
  nn::TensorMap kernels_of(const SharedNetwork& net, const plan::Assignment& assignment) const {
    nn::TensorMap state;
    for (std::size_t i = 0; i < assignment.paths.size(); ++i) {
      const SharedLayer& layer = net.layers()[i];
      std::vector<nn::Tensor> own;
      std::set<std::size_t> seen;
      for (const plan::Part& part : assignment.paths[i].parts) {
        const auto path = static_cast<std::size_t>(
            std::find_if(layer.paths.begin(), layer.paths.end(),
                         [&](const plan::Path& known) {
                           return known.parts.front().unit == part.unit &&
                                  known.parts.front().format == part.format;
                         }) -
            layer.paths.begin());
        if (!seen.insert(path).second || layer.kernels.at(path) == nullptr)
          continue;
        for (const nn::Tensor& parameter : layer.kernels[path]->parameters())
          own.push_back(parameter);
      }
      const std::string& name = problem_.network.workload().layers[i].name;
      for (std::size_t k = 0; k < own.size(); ++k) {
        state[nn::kernel_parameter_name(name, assignment.paths[i], k)] = own[k].detach().clone();
      }
    }
    return state;
  }

  const OdimoOptions& options_;
  const Problem& problem_;
  detail::Members members_;
};

}  // namespace

Solution Odimo::run(const Problem& problem, Observer& observer) {
  return OdimoRun(options_, problem, observer).run();
}

}  // namespace tessera::supernet
