// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/supernet.h"

#include <algorithm>
#include <numeric>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

namespace tessera::supernet {
namespace {

// Rows of x [n · N, ...], taken in blocks of N, in another order of the blocks: y[i] = x[order[i]].
// `inverse` undoes `order`; both are permutations in device memory.
class PermuteBlocks final : public torch::autograd::Function<PermuteBlocks> {
 public:
  static nn::Tensor forward(torch::autograd::AutogradContext* ctx, const nn::Tensor& x,
                            const nn::Tensor& order, const nn::Tensor& inverse) {
    ctx->saved_data["inverse"] = inverse;
    return permuted(x, order);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    return {permuted(grads[0], ctx->saved_data["inverse"].toTensor()), nn::Tensor(), nn::Tensor()};
  }

 private:
  static nn::Tensor permuted(const nn::Tensor& x, const nn::Tensor& order) {
    // Keeps channels innermost where they are.
    if (x.dim() == 4 && !x.is_contiguous())
      return permuted(x.permute({0, 2, 3, 1}).contiguous(), order).permute({0, 3, 1, 2});
    const std::int64_t blocks = order.numel();
    return x.reshape({blocks, x.numel() / blocks}).index_select(0, order).reshape(x.sizes());
  }
};

// Runs each path of a layer on the images of the model that chose it.
class ModelsRunner final : public nn::LayerRunner {
 public:
  ModelsRunner(const std::vector<std::vector<std::unique_ptr<nn::LayerKernel>>>& kernels,
               const nn::Tensor& model_of, const nn::Tensor& path_of)
      : kernels_(kernels), model_of_(model_of), path_of_(path_of) {}

  nn::Tensor run(const nn::LayerCall& call) override {
    const auto layer = static_cast<std::int64_t>(call.layer);
    const nn::Tensor model_of = model_of_.select(0, layer);
    const nn::Tensor path_of = path_of_.select(0, layer);
    const nn::Tensor by_path = PermuteBlocks::apply(call.x, model_of, path_of);
    const auto& kernels = kernels_[call.layer];
    const std::vector<nn::Tensor> parts =
        by_path.chunk(static_cast<std::int64_t>(kernels.size()), 0);
    std::vector<nn::Tensor> outputs;
    for (std::size_t path = 0; path < kernels.size(); ++path) {
      const nn::LayerCall one{.layer = call.layer,
                              .op = call.op,
                              .x = parts[path],
                              .weight = call.weight,
                              .bias = call.bias};
      outputs.push_back(kernels[path] != nullptr
                            ? kernels[path]->forward(one)
                            : nn::apply_layer(one.op, one.x, one.weight, one.bias));
    }
    return PermuteBlocks::apply(at::cat(outputs), path_of, model_of);
  }

 private:
  const std::vector<std::vector<std::unique_ptr<nn::LayerKernel>>>& kernels_;
  const nn::Tensor& model_of_;
  const nn::Tensor& path_of_;
};

// Runs each layer in integers by its row of codes [layer, 4].
class CodesRunner final : public nn::LayerRunner {
 public:
  explicit CodesRunner(nn::Tensor codes) : codes_(std::move(codes)) {}
  nn::Tensor run(const nn::LayerCall& call) override {
    return nn::run_training_codes(call, codes_[static_cast<std::int64_t>(call.layer)]);
  }

 private:
  nn::Tensor codes_;
};

}  // namespace

std::vector<Choice> strict_fair_choices(std::span<const std::size_t> candidate_counts, Rng rng) {
  const std::size_t models = candidate_counts.empty() ? 0
                                                      : *std::max_element(candidate_counts.begin(),
                                                                          candidate_counts.end());
  std::vector<Choice> choices(models, Choice(candidate_counts.size(), 0));
  for (std::size_t layer = 0; layer < candidate_counts.size(); ++layer) {
    std::vector<int> order(candidate_counts[layer]);
    for (std::size_t model = 0; model < models; ++model) {
      const std::size_t position = model % order.size();
      if (position == 0) {
        std::iota(order.begin(), order.end(), 0);
        rng.shuffle(std::span(order));
      }
      choices[model][layer] = order[position];
    }
  }
  return choices;
}

Supernet::Supernet(const nn::Network& start, const Space& space, const hw::Platform& platform,
                   std::span<const nn::RangeObserver> ranges)
    : space_(&space), network_(start.clone()) {
  TESSERA_CHECK(space.size() == network_.layers().size() && ranges.size() == space.size(),
                "{} layers, {} in the space, {} ranges", network_.layers().size(), space.size(),
                ranges.size());
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    TESSERA_CHECK(!space[layer].empty(), "layer {} has no path", layer);
    auto& kernels = kernels_.emplace_back();
    for (const plan::Path& path : space[layer]) {
      kernels.push_back(nn::make_kernel(path, platform, ranges[layer], network_.device()));
    }
  }
  noise_seed_ = nn::NoiseStream::make_seed(network_.device());
}

std::vector<nn::Tensor> Supernet::parameters() const {
  std::vector<nn::Tensor> all = network_.parameters();
  for (const auto& layer : kernels_) {
    for (const auto& kernel : layer) {
      if (kernel == nullptr)
        continue;
      for (const nn::Tensor& parameter : kernel->parameters())
        all.push_back(parameter);
    }
  }
  return all;
}

nn::Trained Supernet::trained() const {
  nn::Trained all{.parameters = parameters()};
  for (const auto& layer : kernels_) {
    for (const auto& kernel : layer) {
      if (kernel == nullptr)
        continue;
      for (const nn::Tensor& buffer : kernel->buffers())
        all.buffers.push_back(buffer);
    }
  }
  return all;
}

nn::Tensor Supernet::forward(const std::vector<nn::Tensor>& inputs, const Choice& choice) {
  std::vector<nn::LayerKernel*> chosen;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    chosen.push_back(kernels_[layer].at(static_cast<std::size_t>(choice.at(layer))).get());
  }
  nn::KernelRunner runner(std::move(chosen));
  return network_.forward(inputs, runner);
}

void Supernet::prepare_training(const Rng& rng, const std::vector<std::vector<double>>& strength) {
  nn::NoiseStream::set_seed(noise_seed_, rng);
  std::uint64_t key = 0;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    for (std::size_t path = 0; path < kernels_[layer].size(); ++path, ++key) {
      nn::LayerKernel* kernel = kernels_[layer][path].get();
      if (kernel == nullptr)
        continue;
      kernel->set_training(true);
      kernel->set_strength(strength.at(layer).at(path));
      kernel->set_noise(nn::NoiseStream(noise_seed_, key));
    }
  }
}

nn::Tensor Supernet::fair_step(nn::Trainer& trainer, const Rng& rng,
                               const std::vector<std::vector<double>>& strength,
                               const std::vector<Choice>& choices) {
  prepare_training(rng, strength);
  if (trainer.mask_is_due()) {
    for (const auto& layer : kernels_) {
      for (const auto& kernel : layer) {
        if (kernel != nullptr)
          kernel->refresh_mask();
      }
    }
  }
  if (can_run_together(choices)) {
    choose_models(choices);
    const auto models = static_cast<std::int64_t>(choices.size());
    return trainer.recorded_step([this, &trainer, models](const nn::Batch& batch) {
      const nn::Batch all = batch.repeated(models);
      const nn::Tensor loss = trainer.loss(forward_models(all), all);
      loss.backward();
      return loss.detach();
    });
  }
  const auto models = static_cast<std::int64_t>(choices.size());
  const auto one_by_one = [this, &trainer, models](const nn::Batch& batch,
                                                   const auto& forward_model) {
    nn::Tensor sum =
        torch::zeros({}, torch::TensorOptions(torch::kFloat32).device(network_.device()));
    for (std::int64_t model = 0; model < models; ++model) {
      // The mean over the models, so that the rate means the same whatever their number.
      const nn::Tensor loss =
          trainer.loss(forward_model(batch.inputs, model), batch) / static_cast<double>(models);
      loss.backward();
      sum += loss.detach();
    }
    return sum;
  };
  if (can_run_by_codes(strength)) {
    choose_codes(choices);
    return trainer.recorded_step([&](const nn::Batch& batch) {
      return one_by_one(batch, [this](const std::vector<nn::Tensor>& inputs, std::int64_t model) {
        return forward_codes(inputs, model);
      });
    });
  }
  return trainer.step([&](const nn::Batch& batch) {
    return one_by_one(batch, [&](const std::vector<nn::Tensor>& inputs, std::int64_t model) {
      return forward(inputs, choices[static_cast<std::size_t>(model)]);
    });
  });
}

bool Supernet::can_run_together(const std::vector<Choice>& choices) const {
  return network_.device().is_cuda() && network_.graph().batched &&
         std::all_of(kernels_.begin(), kernels_.end(), [&](const auto& paths) {
           return paths.size() == choices.size() &&
                  std::all_of(paths.begin(), paths.end(), [](const auto& kernel) {
                    return kernel == nullptr || kernel->can_be_recorded();
                  });
         });
}

void Supernet::choose_models(const std::vector<Choice>& choices) {
  const auto layers = static_cast<std::int64_t>(kernels_.size());
  const auto models = static_cast<std::int64_t>(choices.size());
  nn::Tensor model_of = torch::zeros({layers, models}, torch::kInt64);
  nn::Tensor path_of = torch::zeros_like(model_of);
  auto* const models_at = model_of.data_ptr<std::int64_t>();
  auto* const paths_at = path_of.data_ptr<std::int64_t>();
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (std::int64_t model = 0; model < models; ++model) {
      const int path = choices[static_cast<std::size_t>(model)][static_cast<std::size_t>(layer)];
      paths_at[layer * models + model] = path;
      models_at[layer * models + path] = model;
    }
  }
  if (!model_of_.defined()) {
    model_of_ = model_of.to(network_.device());
    path_of_ = path_of.to(network_.device());
  } else {
    model_of_.copy_(model_of);
    path_of_.copy_(path_of);
  }
}

nn::Tensor Supernet::forward_models(const nn::Batch& repeated) {
  TESSERA_CHECK(model_of_.defined(), "forward_models() needs choose_models()");
  ModelsRunner runner(kernels_, model_of_, path_of_);
  return network_.forward(repeated.inputs, runner);
}

bool Supernet::can_run_by_codes(const std::vector<std::vector<double>>& strength) const {
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    for (std::size_t path = 0; path < kernels_[layer].size(); ++path) {
      const auto* integer = dynamic_cast<const nn::IntegerKernel*>(kernels_[layer][path].get());
      if (strength[layer][path] != 1.0 || integer == nullptr || !integer->has_training_codes())
        return false;
    }
  }
  return true;
}

void Supernet::choose_codes(const std::vector<Choice>& choices) {
  std::vector<nn::Tensor> rows;
  for (const Choice& choice : choices) {
    for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
      const auto& kernel = kernels_[layer].at(static_cast<std::size_t>(choice[layer]));
      rows.push_back(dynamic_cast<const nn::IntegerKernel&>(*kernel).training_codes());
    }
  }
  const nn::Tensor codes = torch::stack(rows).reshape(
      {static_cast<std::int64_t>(choices.size()), static_cast<std::int64_t>(kernels_.size()), -1});
  if (!codes_.defined())
    codes_ = torch::empty_like(codes, network_.device());
  TESSERA_CHECK(codes_.sizes() == codes.sizes(), "{} models in a step after {}", codes.size(0),
                codes_.size(0));
  codes_.copy_(codes);
}

nn::Tensor Supernet::forward_codes(const std::vector<nn::Tensor>& inputs, std::int64_t model) {
  CodesRunner runner(codes_[model]);
  return network_.forward(inputs, runner);
}

std::vector<plan::Accuracy> Supernet::measure(const Choice& choice, const nn::Split& split,
                                              const nn::Preprocessing& preprocessing,
                                              const nn::ChipPlan& plan, const Rng& rng) const {
  std::vector<nn::LayerKernel*> chosen;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    chosen.push_back(kernels_[layer].at(static_cast<std::size_t>(choice.at(layer))).get());
  }
  return nn::measure(network_, chosen, split, preprocessing, plan, rng);
}

nn::TensorMap Supernet::kernel_state() const {
  nn::TensorMap state;
  for (std::size_t layer = 0; layer < kernels_.size(); ++layer) {
    for (std::size_t path = 0; path < kernels_[layer].size(); ++path) {
      if (kernels_[layer][path] == nullptr)
        continue;
      const std::vector<nn::Tensor> parameters = kernels_[layer][path]->parameters();
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        state[nn::kernel_parameter_name(network_.workload().layers[layer].name,
                                        (*space_)[layer][path], k)] =
            parameters[k].detach().clone();
      }
    }
  }
  return state;
}

}  // namespace tessera::supernet
