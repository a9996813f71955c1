// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "tessera/core/rng.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

// Named tensors that a run can be continued from; stored as safetensors.
using TensorMap = std::map<std::string, Tensor>;

// kSgd: Nesterov momentum, for networks with batch normalization, trained from nothing.
// kRelativeAdam: Adam (Kingma and Ba 2015) whose step is relative to the root mean square of what
// it changes, output channel by output channel (as Adafactor's, Shazeer and Stern 2018, are by
// tensor). Once normalization is folded into the weights, channels differ in scale by orders of
// magnitude, and one rate that moves most of them throws others off: SGD diverges on a folded
// ResNet20 at rates at which a ResNet8 still learns.
enum class Optimizer { kSgd, kRelativeAdam };

struct TrainingOptions {
  Optimizer optimizer = Optimizer::kSgd;
  std::int64_t steps = 0;       // weight updates
  std::int64_t batch = 128;     // images per update
  double learning_rate = 0.05;  // at its peak
  double warmup = 0.1;    // share of the steps in which the rate rises linearly; then cosine to 0
  double momentum = 0.9;  // of kSgd, Nesterov
  double weight_decay = 1e-4;  // on tensors of two and more dimensions alone
  // Of kRelativeAdam, on the same tensors: largest weight after a step, in units of the root mean
  // square of its output channel; 0: none. Noise of an analog column grows with its largest weight,
  // a quantiser's step, too.
  double weight_clip = 0;
  // Steps over which layers keep their StruM masks; 1: masks follow the weights at every step.
  std::int64_t mask_steps = 1;
  double distillation = 0;  // share of the loss that compares with the teacher, 0 to 1
  double temperature = 2;   // of the distillation's softmax
  double label_smoothing = 0;
  bool augment = true;  // random crops and flips, as the data set allows
};

// One batch as the network takes it.
struct Batch {
  std::vector<Tensor> inputs;  // images normalized and augmented
  Tensor y;                    // labels
  Tensor teacher;              // the teacher's outputs, undefined without one

  // `times` copies of the batch, one after the other.
  Batch repeated(std::int64_t times) const;
};

// What a training changes, in place.
struct Trained {
  std::vector<Tensor> parameters;    // leaves, by their gradients
  std::vector<Tensor> buffers = {};  // LayerKernel::buffers(): kept with the state, no more
};

// Gradient descent whose every step is a function of (options, seed, step) and the
// present parameters and buffers, so that it continues from state() to the same end.
class Trainer {
 public:
  // `teacher` may be null when options.distillation is 0; it must outlive the trainer, as must the
  // data set.
  Trainer(Trained trained, const Dataset& data, const Preprocessing& preprocessing,
          const TrainingOptions& options, const Rng& rng, const Network* teacher);
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  // One update. `backward` computes the loss of a batch, calls backward() on it (once or several
  // times: gradients add up), and returns it detached.
  Tensor step(const std::function<Tensor(const Batch&)>& backward);

  // The same for a `backward` that launches the same work at every step: on a GPU the third step
  // records its work and later ones replay it, without calling `backward` again. What it uses must
  // lie in tensors that stay where they are; what should change from step to step (seeds,
  // strengths) is changed in place before this call. The loss is a tensor that the next step
  // overwrites.
  Tensor recorded_step(const std::function<Tensor(const Batch&)>& backward);

  // (1 - d)·cross entropy + d·T²·KL(teacher ‖ student), d and T from the options: the mean over the
  // labels, where an entry has several.
  Tensor loss(const Tensor& outputs, const Batch& batch) const;

  std::int64_t steps_done() const { return step_; }
  bool done() const { return step_ >= options_.steps; }
  // Whether masks are computed anew in the next step: in the first and every mask_steps-th after.
  bool mask_is_due() const { return step_ % options_.mask_steps == 0; }
  const TrainingOptions& options() const { return options_; }

  // Parameters, moments of their gradients, buffers and step; restore() throws IoError when the
  // shapes differ.
  TensorMap state() const;
  void restore(const TensorMap& state);

 private:
  struct OnGpu;

  Tensor run_step(const std::function<Tensor(const Batch&)>& backward, bool recorded);
  const Tensor& next_indices();
  Batch load_batch(const Tensor& indices);
  void update();
  double rate() const;
  void update_sgd(std::size_t index, double learning_rate);
  void update_relative_adam(std::size_t index, double learning_rate);

  std::vector<Tensor> parameters_;
  std::vector<Tensor> buffers_;
  std::vector<Tensor> momentum_;  // first moments
  std::vector<Tensor> second_;    // second moments, of kRelativeAdam
  const Dataset* data_;
  Preprocessing preprocessing_;
  TrainingOptions options_;
  Rng rng_;
  const Network* teacher_;
  std::int64_t step_ = 0;
  std::int64_t epoch_ = -1;  // whose batches stand in epoch_batches_
  std::vector<Tensor> epoch_batches_;
  Tensor loss_;                 // of the last step
  std::unique_ptr<OnGpu> gpu_;  // null: LibTorch's operators do it all
};

// The loss of trainer's last step as a number (waits for a GPU). Throws UsageError when training
// has diverged: the loss is not finite.
double checked_loss(const Trainer& trainer, const Tensor& loss);

}  // namespace tessera::nn
