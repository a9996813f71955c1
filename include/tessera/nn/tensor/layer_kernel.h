// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "tessera/nn/tensor/network.h"
#include "tessera/nn/tensor/noise_stream.h"

namespace tessera::nn {

// Arithmetic of one layer on one path: FP16, integer, analog. A kernel belongs to one layer of one
// network, holds what that layer's path needs beyond the shared weights (scales, input range,
// programmed devices) and reads the weights that the call brings. forward() is differentiable in x,
// weight, bias and the kernel's own parameters.
class LayerKernel {
 public:
  virtual ~LayerKernel() = default;

  virtual Tensor forward(const LayerCall& call) = 0;

  // 0: exact float32; 1: the full effect of the format (quantisation error, noise). Training ramps
  // it up; evaluation is always at 1.
  virtual void set_strength(double strength) = 0;
  // Training noise (weight modifiers, fresh each call) or evaluation (what program() and read()
  // left).
  virtual void set_training(bool training) = 0;
  // The stream for training noise and for reads, on the device of the weights. Formats without
  // noise ignore it.
  virtual void set_noise(NoiseStream noise) = 0;
  // Whether forward() in training is device work that Trainer::recorded_step() may replay: nothing
  // in it depends on values that the host reads.
  virtual bool can_be_recorded() const { return true; }
  // Tensors that training may change (a learned input range), leaves; empty for most.
  virtual std::vector<Tensor> parameters() const = 0;
  // Tensors that training changes without gradients and must find again when it continues (a mask
  // that is kept over several steps). Their sizes may change.
  virtual std::vector<Tensor> buffers() const { return {}; }
  // From the next training call on a mask computed anew; until then it is kept. Formats without
  // masks ignore it.
  virtual void refresh_mask() {}
};

// Formats whose weights live in noisy devices.
class NoisyKernel : public LayerKernel {
 public:
  // Writes the weights into a new set of devices: one chip. Draws from `chip`.
  virtual void program(const Tensor& weight, NoiseStream chip) = 0;
  // Lets the devices drift to `seconds` after programming; later forward() calls see them so, with
  // read noise from set_noise()'s stream, and apply global drift compensation. REQUIRES:
  // program().
  virtual void drift_to(double seconds) = 0;
};

// Runs each layer on the kernel chosen for it; a null kernel means float32.
class KernelRunner final : public LayerRunner {
 public:
  explicit KernelRunner(std::vector<LayerKernel*> kernels) : kernels_(std::move(kernels)) {}
  Tensor run(const LayerCall& call) override;
  void choose(std::size_t layer, LayerKernel* kernel) { kernels_.at(layer) = kernel; }

 private:
  std::vector<LayerKernel*> kernels_;
};

}  // namespace tessera::nn
