// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/format/strum_codec.h"
#include "tessera/nn/quant/quantize.h"

namespace tessera::nn {

// [M,C/G,R,S] or [M,K].
format::WeightShape weight_shape(const Tensor& weight);

// The INT8 codes that a StruM scheme starts from: symmetric, one scale per output channel, none cut
// off (RangeMethod::kMinMax).
plan::AffineCode strum_base_code(const Tensor& weight);
// Those codes, int8 on the CPU.
Tensor strum_codes(const Tensor& weight);
// Weights at strum_base_code(), packed. On the CPU, of float32 weights on any device.
format::PackedWeights strum_pack(const Tensor& weight, const format::Strum& scheme);
// The same with the low weights that `low_mask` (uint8, 1: low) names.
format::PackedWeights strum_pack_masked(const Tensor& weight, const Tensor& low_mask,
                                        const format::Strum& scheme);

// What packed weights stand for, at the strum_base_code() of `weight`; on its device.
Tensor strum_values(const format::PackedWeights& packed, const Tensor& weight);

// Arithmetic of one StruM layer: weights as hardware multiplies with them, times their scales;
// inputs and bias as IntegerKernel's. In training the gradient passes straight through to all
// weights; scales and DLIQ's shifts follow them at every call, the mask at the first call after
// refresh_mask(). In evaluation, and so in what is written to files, the mask is always that of the
// weights as they are.
class StrumKernel final : public LayerKernel {
 public:
  StrumKernel(const format::Strum& scheme, plan::AffineCode input);
  Tensor forward(const LayerCall& call) override;
  void set_strength(double strength) override { strength_ = strength; }
  void set_training(bool training) override;
  void set_noise(NoiseStream) override {}
  bool can_be_recorded() const override { return false; }  // the codec runs on the CPU
  std::vector<Tensor> parameters() const override { return {}; }
  std::vector<Tensor> buffers() const override { return {mask_}; }
  void refresh_mask() override { mask_.resize_({0}); }
  // The base codes and the input's: with the scheme they fix the arithmetic.
  plan::LayerNumerics numerics(const Tensor& weight) const;

 private:
  Tensor values(const Tensor& weight);

  format::Strum scheme_;
  plan::AffineCode input_;
  double strength_ = 1;
  bool training_ = false;
  // Of training: uint8, 1 where a weight is low; without elements until it is computed. Always the
  // same tensor, since a trainer saves and restores it.
  Tensor mask_;
  // In evaluation the weights stay: they are packed once.
  Tensor packed_weight_;
  std::int64_t packed_version_ = 0;
  Tensor packed_values_;
};

}  // namespace tessera::nn
