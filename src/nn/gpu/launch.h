// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "tessera/nn/tensor/noise_stream.h"

#include "nn/gpu/kernels.h"

namespace tessera::nn::gpu {

using torch::Tensor;

// Where kernels of nn/gpu/kernels.h must be queued to stay in order with LibTorch's own.
Stream current_stream();
// Makes all work of this thread go to one stream that is not the device's default one: CUDA graphs
// cannot record that. Nothing on the CPU.
void use_own_stream(torch::Device device);

// Whether x can be given to these kernels: float32 on a GPU, each element once in memory.
inline bool takes(const Tensor& x) {
  return kCompiled && x.is_cuda() && x.scalar_type() == torch::kFloat32 && x.numel() > 0 &&
         x.is_non_overlapping_and_dense();
}

// t with the strides of `like`, a copy if it has others.
inline Tensor laid_out_like(const Tensor& like, const Tensor& t) {
  return t.strides() == like.strides() ? t : at::empty_like(like).copy_(t);
}

// t: 0-dim float32. On the CPU its value now.
inline Factor factor_of(const Tensor& t) {
  if (t.device().is_cpu())
    return {.value = t.item<float>()};
  return {.on_device = t.data_ptr<float>()};
}

inline Draw draw_from(const NoiseStream::Draw& draw) {
  return {.seed = draw.seed.data_ptr<std::int64_t>(), .key = draw.key};
}

}  // namespace tessera::nn::gpu
