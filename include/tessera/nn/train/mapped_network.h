// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/hw/platform.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/quant/quantize.h"
#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/nn/train/trainer.h"
#include "tessera/plan/mapping.h"

namespace tessera::nn {

// Calls `use` with the first `images` training images, normalized, in batches as they are measured
// in.
void for_each_calibration_batch(const Dataset& data, const Preprocessing& preprocessing,
                                std::int64_t images,
                                const std::function<void(const std::vector<Tensor>&)>& use);

// Inputs of every layer of the float network over the first `images` training images: what ranges
// come from.
std::vector<RangeObserver> observe_ranges(const Network& network, const Dataset& data,
                                          const Preprocessing& preprocessing, std::int64_t images);

// The arithmetic of one layer on a path; null for fp32. `observed` is the layer's float input. The
// parts of a split layer run each on its own output channels; UnsupportedError when some are
// integers of different activation widths, since a layer has one input code.
std::unique_ptr<LayerKernel> make_kernel(const plan::Path& path, const hw::Platform& platform,
                                         const RangeObserver& observed, torch::Device device,
                                         const CalibrationOptions& calibration = {});

// The same from codes that were fixed before (a mapping read from a file).
std::unique_ptr<LayerKernel> make_kernel(const plan::Path& path, const hw::Platform& platform,
                                         const plan::LayerNumerics& numerics, torch::Device device);

// How accuracy is measured where units are noisy: on `chips` programmed chips, each read at every
// time.
struct ChipPlan {
  std::int64_t chips = 3;
  std::vector<double> seconds = {86400};  // after programming, ascending
  bool operator==(const ChipPlan&) const = default;
};

// Accuracy of the network with these kernels (null: float32) on a split, one entry per time; a
// network without noisy kernels is measured once, with n = 1 and std = 0. Chip c draws from
// rng.split("chip").split(c), the same for any choice of kernels, so that mappings are compared on
// equal chips. Leaves the kernels in evaluation mode at full strength. `done` (if any) is told the
// finished share after each reading of a chip.
std::vector<plan::Accuracy> measure(const Network& network, std::span<LayerKernel* const> kernels,
                                    const Split& split, const Preprocessing& preprocessing,
                                    const ChipPlan& plan, const Rng& rng,
                                    const std::function<void(double)>& done = {});

// A network under a mapping, with weights and kernels of its own.
class MappedNetwork {
 public:
  MappedNetwork(const Network& start, plan::Assignment assignment, const hw::Platform& platform,
                std::span<const RangeObserver> ranges, const CalibrationOptions& calibration = {});
  // From a mapping's codes, by layer name. Throws ConfigError for a layer whose codes are missing.
  MappedNetwork(const Network& start, plan::Assignment assignment, const hw::Platform& platform,
                const plan::Numerics& numerics);

  const plan::Assignment& assignment() const { return assignment_; }
  Network& network() { return network_; }
  const Network& network() const { return network_; }
  std::vector<LayerKernel*> kernels() const;

  // Weights, biases and the kernels' own parameters.
  std::vector<Tensor> parameters() const;
  // The same with the kernels' buffers, for a trainer.
  Trained trained() const;
  // Makes the steps of every layer that is integer as a whole parameters of its kernel
  // (IntegerKernel::learn_steps()), started from the codes that it has now.
  void learn_steps();
  // Kernels' parameters by "kernel.LAYER.PATH.INDEX", for files. Loading takes what it needs of a
  // larger set, and makes steps learned ones where the set has them.
  TensorMap kernel_state() const;
  void load_kernel_state(const TensorMap& state);

  // Continues `trainer` until it is done or `keep_going` says no (asked before every step with the
  // last loss). Weights' quantisation scales follow the weights.
  void train(Trainer& trainer, const Rng& rng,
             const std::function<bool(const Trainer&, const Tensor&)>& keep_going);

  // One step of that: noise from `rng` and the trainer's number of steps. Returns the loss.
  Tensor train_step(Trainer& trainer, const Rng& rng);

  std::vector<plan::Accuracy> measure(const Split& split, const Preprocessing& preprocessing,
                                      const ChipPlan& plan, const Rng& rng,
                                      const std::function<void(double)>& done = {}) const;

  // Codes of integer layers and of analog layers' 8-bit twins.
  plan::Numerics numerics() const;

 private:
  plan::Assignment assignment_;
  Network network_;
  std::vector<std::unique_ptr<LayerKernel>> kernels_;
  Tensor noise_seed_;  // of training noise; steps recorded on a GPU read it
};

// Name of a kernel's parameter in weight files and checkpoints.
std::string kernel_parameter_name(const std::string& layer, const plan::Path& path,
                                  std::size_t index);

}  // namespace tessera::nn
