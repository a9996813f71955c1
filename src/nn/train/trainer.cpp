// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include <ATen/Context.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"

#include "nn/train/gpu_steps.h"

namespace tessera::nn {

namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.99;  // of kRelativeAdam

// Lets convolutions round their operands to TF32 (10 bits of mantissa) on a GPU's tensor cores
// while it lives: in training that error drowns in those of the formats and the gradients' own
// noise. Evaluation runs in full float32.
class Tf32Convolutions {
 public:
  Tf32Convolutions() : before_(at::globalContext().allowTF32CuDNN()) {
    at::globalContext().setAllowTF32CuDNN(true);
  }
  ~Tf32Convolutions() { at::globalContext().setAllowTF32CuDNN(before_); }
  Tf32Convolutions(const Tf32Convolutions&) = delete;
  Tf32Convolutions& operator=(const Tf32Convolutions&) = delete;

 private:
  bool before_;
};

}  // namespace

struct Trainer::OnGpu : detail::GpuSteps {
  using GpuSteps::GpuSteps;
};

Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

Trainer::Trainer(Trained trained, const Dataset& data, const Preprocessing& preprocessing,
                 const TrainingOptions& options, const Rng& rng, const Network* teacher)
    : parameters_(std::move(trained.parameters)),
      buffers_(std::move(trained.buffers)),
      data_(&data),
      preprocessing_(preprocessing),
      options_(options),
      rng_(rng),
      teacher_(teacher) {
  TESSERA_CHECK(teacher_ != nullptr || options_.distillation == 0, "distillation needs a teacher");
  TESSERA_CHECK(options_.batch > 0 && options_.batch <= data.train.size(),
                "batch {} of {} training images", options_.batch, data.train.size());
  for (const Tensor& parameter : parameters_) {
    TESSERA_CHECK(parameter.is_leaf(), "a parameter is not a leaf");
    parameter.requires_grad_(true);
    const auto plain = torch::TensorOptions().requires_grad(false);
    momentum_.push_back(torch::zeros_like(parameter, plain));
    if (options_.optimizer == Optimizer::kRelativeAdam)
      second_.push_back(torch::zeros_like(parameter, plain));
  }
  if (detail::GpuSteps::apply_to(data))
    gpu_ = std::make_unique<OnGpu>(data, preprocessing_, options_.batch);
}

namespace {

// Root mean square of each output channel's weights [M, 1, ...], of a vector or a scalar as a
// whole. None counts as smaller than a tenth of the tensor's, so that dead channels can move.
Tensor scale_of(const Tensor& parameter) {
  constexpr double kLeastShare = 0.1, kSmallest = 1e-6;
  const Tensor whole = parameter.square().mean().sqrt().clamp_min_(kSmallest);
  if (parameter.dim() < 2)
    return whole;
  std::vector<std::int64_t> dims(static_cast<std::size_t>(parameter.dim() - 1));
  std::iota(dims.begin(), dims.end(), 1);
  return at::maximum(parameter.square().mean(dims, /*keepdim=*/true).sqrt(), whole * kLeastShare);
}

}  // namespace

double Trainer::rate() const {
  const double total = static_cast<double>(options_.steps);
  const double warm = options_.warmup * total;
  const double now = static_cast<double>(step_);
  if (now < warm)
    return options_.learning_rate * (now + 1) / (warm + 1);
  const double progress = (now - warm) / std::max(total - warm, 1.0);
  return options_.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

const Tensor& Trainer::next_indices() {
  const std::int64_t per_epoch = data_->train.size() / options_.batch;
  const std::int64_t epoch = step_ / per_epoch;
  if (epoch != epoch_) {
    Rng order = rng_.split("order").split(static_cast<std::uint64_t>(epoch));
    epoch_batches_ =
        shuffled_batches(data_->train.size(), options_.batch, order,
                         gpu_ ? torch::Device(torch::kCPU) : data_->train.images.device());
    epoch_ = epoch;
  }
  return epoch_batches_.at(static_cast<std::size_t>(step_ % per_epoch));
}

Batch Trainer::load_batch(const Tensor& indices) {
  Batch batch;
  if (gpu_) {
    batch = gpu_->load();
  } else {
    const Split part = select(data_->train, indices);
    batch.inputs = network_inputs(part, preprocessing_);
    batch.y = part.labels;
    if (options_.augment && data_->is_images) {
      Rng augmentation = rng_.split("augment").split(static_cast<std::uint64_t>(step_));
      batch.inputs[0] = augment(batch.inputs[0], *data_, augmentation);
    }
  }
  if (options_.distillation > 0) {
    const torch::NoGradGuard no_grad;
    FloatRunner runner;
    batch.teacher = teacher_->forward(batch.inputs, runner);
  }
  return batch;
}

Tensor Trainer::step(const std::function<Tensor(const Batch&)>& backward) {
  return run_step(backward, false);
}

Tensor Trainer::recorded_step(const std::function<Tensor(const Batch&)>& backward) {
  return run_step(backward, true);
}

Tensor Trainer::run_step(const std::function<Tensor(const Batch&)>& backward, bool recorded) {
  TESSERA_CHECK(!done(), "training is over after {} steps", options_.steps);
  const Tensor& indices = next_indices();
  const auto work = [&] {
    for (const Tensor& parameter : parameters_)
      parameter.mutable_grad() = Tensor();
    loss_ = backward(load_batch(indices));
    update();
  };
  if (gpu_) {
    const Tf32Convolutions tf32;
    std::vector<Placement> placements;
    if (options_.augment) {
      Rng augmentation = rng_.split("augment").split(static_cast<std::uint64_t>(step_));
      placements = draw_placements(options_.batch, *data_, augmentation);
    }
    gpu_->set_batch(indices, placements);
    const double t = static_cast<double>(step_ + 1);
    gpu_->set_factors(rate(), 1 / (1 - std::pow(kBeta1, t)), 1 / (1 - std::pow(kBeta2, t)));
    if (recorded) {
      gpu_->graph().run(work);
    } else {
      work();
    }
  } else {
    work();
  }
  ++step_;
  return loss_;
}

void Trainer::update() {
  const torch::NoGradGuard no_grad;
  const bool adam = options_.optimizer == Optimizer::kRelativeAdam;
  if (gpu_) {
    if (adam) {
      gpu_->relative_adam(parameters_, momentum_, second_, kBeta1, kBeta2, options_);
    } else {
      gpu_->sgd(parameters_, momentum_, options_.momentum, options_.weight_decay);
    }
    return;
  }
  const double learning_rate = rate();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined())
      continue;
    if (adam) {
      update_relative_adam(i, learning_rate);
    } else {
      update_sgd(i, learning_rate);
    }
  }
}

void Trainer::update_sgd(std::size_t index, double learning_rate) {
  const Tensor& parameter = parameters_[index];
  Tensor gradient = parameter.grad();
  if (parameter.dim() > 1 && options_.weight_decay > 0) {
    gradient = gradient.add(parameter, options_.weight_decay);
  }
  momentum_[index].mul_(options_.momentum).add_(gradient);
  const Tensor update = gradient.add(momentum_[index], options_.momentum);
  parameter.sub_(update, learning_rate);
}

void Trainer::update_relative_adam(std::size_t index, double learning_rate) {
  constexpr double kEpsilon = 1e-12;
  const Tensor& parameter = parameters_[index];
  const Tensor& gradient = parameter.grad();
  Tensor& first = momentum_[index];
  Tensor& second = second_[index];
  first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const double t = static_cast<double>(step_ + 1);
  const Tensor direction = (first / (1 - std::pow(kBeta1, t)))
                               .div_((second / (1 - std::pow(kBeta2, t))).sqrt_().add_(kEpsilon));
  const Tensor scale = scale_of(parameter);
  parameter.sub_(direction.mul_(scale), learning_rate);
  if (parameter.dim() > 1 && options_.weight_decay > 0)
    parameter.mul_(1 - learning_rate * options_.weight_decay);
  if (parameter.dim() > 1 && options_.weight_clip > 0) {
    const Tensor bound = scale * options_.weight_clip;
    parameter.copy_(at::minimum(at::maximum(parameter, -bound), bound));
  }
}

Tensor Trainer::loss(const Tensor& outputs, const Batch& batch) const {
  const Tensor logits = class_scores(outputs, batch.y);
  Tensor total;
  if (options_.distillation < 1) {
    constexpr std::int64_t kIgnoreNone = -100;
    total = at::cross_entropy_loss(logits, batch.y, {}, at::Reduction::Mean, kIgnoreNone,
                                   options_.label_smoothing) *
            (1 - options_.distillation);
  }
  if (options_.distillation > 0) {
    const double t = options_.temperature;
    const Tensor divergence =
        at::kl_div(torch::log_softmax(logits / t, 1),
                   torch::log_softmax(class_scores(batch.teacher, batch.y) / t, 1),
                   at::Reduction::Sum, /*log_target=*/true);
    const Tensor distilled =
        divergence * (options_.distillation * t * t / static_cast<double>(batch.y.numel()));
    total = total.defined() ? total + distilled : distilled;
  }
  return total;
}

Batch Batch::repeated(std::int64_t times) const {
  const auto repeat = [&](const Tensor& tensor) {
    std::vector<std::int64_t> repeats(static_cast<std::size_t>(tensor.dim()), 1);
    repeats[0] = times;
    return tensor.repeat(repeats);
  };
  Batch all{
      .inputs = {}, .y = repeat(y), .teacher = teacher.defined() ? repeat(teacher) : Tensor()};
  for (const Tensor& input : inputs)
    all.inputs.push_back(repeat(input));
  return all;
}

double checked_loss(const Trainer& trainer, const Tensor& loss) {
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw UsageError(
        fmt::format("training diverged at step {}: the loss is {}; allowed: finite. Its learning "
                    "rate, {} at its peak, is too high for this network",
                    trainer.steps_done(), value, trainer.options().learning_rate));
  }
  return value;
}

TensorMap Trainer::state() const {
  TensorMap state;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    state[fmt::format("parameter.{}", i)] = parameters_[i].detach().clone();
    state[fmt::format("momentum.{}", i)] = momentum_[i].clone();
    if (!second_.empty())
      state[fmt::format("second.{}", i)] = second_[i].clone();
  }
  for (std::size_t i = 0; i < buffers_.size(); ++i)
    state[fmt::format("buffer.{}", i)] = buffers_[i].clone();
  state["step"] = torch::tensor(step_, torch::kInt64);
  return state;
}

void Trainer::restore(const TensorMap& state) {
  const auto take = [&](const std::string& name) -> const Tensor& {
    const auto found = state.find(name);
    if (found == state.end())
      throw IoError(fmt::format("checkpoint: '{}' is missing", name));
    return found->second;
  };
  const torch::NoGradGuard no_grad;
  const auto put = [&](const Tensor& target, const std::string& name) {
    const Tensor& source = take(name);
    if (source.sizes() != target.sizes()) {
      throw IoError(fmt::format("checkpoint: '{}' has another shape", name));
    }
    target.copy_(source);
  };
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    put(parameters_[i], fmt::format("parameter.{}", i));
    put(momentum_[i], fmt::format("momentum.{}", i));
    if (!second_.empty())
      put(second_[i], fmt::format("second.{}", i));
  }
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Tensor& source = take(fmt::format("buffer.{}", i));
    buffers_[i].resize_(source.sizes()).copy_(source);
  }
  step_ = take("step").item<std::int64_t>();
}

}  // namespace tessera::nn
