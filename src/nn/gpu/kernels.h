// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops over float32 in a GPU's memory: the counterparts of nn/quant/loops.h and
// nn/analog/readout.h, one pass over memory each. No LibTorch here. All pointers are device
// pointers unless a comment says otherwise; every function only queues work on `stream` and can be
// recorded in a CUDA graph. The same arguments give the same bits: sums are taken in a fixed order,
// and a random number follows from a seed, a key and the place that it is for.

#include <cstdint>
#include <vector>

struct CUstream_st;

namespace tessera::nn::gpu {

using Stream = CUstream_st*;  // cudaStream_t

// Whether these functions exist: the build found a CUDA compiler and a LibTorch with CUDA.
inline constexpr bool kCompiled = TESSERA_CUDA;

// A number that recorded work reads anew each time it runs, or, without a place on the device, a
// constant.
struct Factor {
  const float* on_device = nullptr;
  float value = 1;
};

// Where random numbers come from: the seed that lies on the device when the work runs, and a key
// that tells apart what is drawn from it.
struct Draw {
  const std::int64_t* seed = nullptr;
  std::uint64_t key = 0;
};

// n standard normal numbers.
void normal(float* out, std::int64_t n, Draw draw, Stream stream);

// Codes with their zero points taken off: real = scale · code, code in [low, high]. With `scales`,
// row r of n / rows elements has scales[r] instead of `scale`.
struct Codes {
  float scale = 1;
  Factor low, high;
  const float* scales = nullptr;
  std::int64_t rows = 1;
};
// y = x + strength · (q(x) - x). y may be x.
void fake_quantize(const float* x, float* y, std::int64_t n, const Codes& codes, Factor strength,
                   Stream stream);
// gx = g where x does not saturate, g · (1 - strength) where it does.
void fake_quantize_backward(const float* g, const float* x, float* gx, std::int64_t n,
                            const Codes& codes, Factor strength, Stream stream);
// y = x + strength · (binary16(x) - x).
void fake_float16(const float* x, float* y, std::int64_t n, Factor strength, Stream stream);

// For each of `rows` rows of k weights: the scale of codes ±high with the least squared error among
// 1, 1 - step, 1 - 2·step, … (count) times the widest, which maps the row's largest weight to
// `high`. No scale is below `smallest` times the layer's widest, nor below `least`. scratch:
// [rows].
struct ScaleSearch {
  Factor high;
  int count = 16;
  float step = 0.05F;
  float smallest = 0;
  float least = 0;
};
constexpr int kMaxScaleCandidates = 16;
void weight_scales(const float* w, std::int64_t rows, std::int64_t k, const ScaleSearch& search,
                   float* scales, float* scratch, Stream stream);

// y = x + strength · (dac(x) - x): clamped to ±*range and rounded to `levels` steps a side (0: not
// rounded).
void dac(const float* x, float* y, std::int64_t n, const float* range, int levels, Factor strength,
         Stream stream);
// gx = g inside the range, g · (1 - strength) outside; *g_range = strength · Σ g·sign(x) outside.
// scratch: [kSumScratch].
constexpr std::int64_t kSumScratch = 1024;
void dac_backward(const float* g, const float* x, float* gx, std::int64_t n, const float* range,
                  Factor strength, float* g_range, float* scratch, Stream stream);

// What stands between the columns' sums of a layer whose rows are cut into `pieces` and its digital
// outputs. Sums lie as [outer, pieces · channels, inner], outputs as [outer, channels, inner].
struct Readout {
  std::int64_t outer = 1, channels = 1, inner = 1, pieces = 1;
  const float* scales = nullptr;  // [pieces · channels]: the largest weight of each column
  const float* range = nullptr;   // scalar: full scale of the input
  float noise = 0;                // standard deviation in units of scale · range; 0: none
  float bound = 0;                // ADC's full scale in those units; 0: no ADC
  int levels = 127;               // on each side of zero; 0: clamped, not rounded
  float gain = 1;
  const float* bias = nullptr;  // [channels], null: none
  Factor strength = {};
};
// out = Σ_pieces gain · (v + strength · (adc(v) - v)) + bias, v = sum + strength · σ · N(0,1).
// clipped (one byte for each sum, may be null): whether the ADC clipped it.
void read_out(const float* sums, float* out, const Readout& readout, Draw draw,
              std::uint8_t* clipped, Stream stream);
// g_sums = gain · g of the output, times 1 - strength where clipped. *g_range (null: not wanted) =
// Σ g_sums · noise / range, what the size of the noise contributes to the range's gradient; the
// draw must be that of read_out(). scratch: [kSumScratch].
void read_out_backward(const float* g, const std::uint8_t* clipped, float* g_sums,
                       const Readout& readout, Draw draw, float* g_range, float* scratch,
                       Stream stream);

// Weights [rows, k] of an analog layer as one forward pass in training sees them, cut along k into
// `pieces` (sizes differ by at most 1, larger ones first).
struct TrainingWeights {
  std::int64_t rows = 1, k = 1, pieces = 1;
  float additive = 0;        // noise in units of the column's largest weight
  float multiplicative = 0;  // noise in units of the weight
  // Mean and standard deviation of a programmed weight x in [0, 1] at x = i / (table_size - 1), in
  // units of the largest weight; null: none.
  const float* mean = nullptr;
  const float* sigma = nullptr;
  int table_size = 0;
  Factor strength = {};
};
// scales [pieces, rows]: the largest weight of each column. out [pieces, rows, k]: weights of the
// piece with their noise, zeros elsewhere. scratch: [2 · rows].
void training_weights(const float* w, const TrainingWeights& options, Draw draw, float* scales,
                      float* out, float* scratch, Stream stream);
// g_w[r, j] = g_out[piece of j, r, j].
void training_weights_backward(const float* g_out, const TrainingWeights& options, float* g_w,
                               Stream stream);

// One training image: which one of the data set, moved down and right by (dy, dx) pixels within
// zeros, mirrored first if asked.
struct Placement {
  std::int32_t image = 0, dy = 0, dx = 0, mirrored = 0;
};
struct ImageShape {
  std::int64_t channels = 1, height = 1, width = 1;
};
// x [batch, C, H, W] = bytes · scale[c] + offset[c] of the placed images, 0 outside them; labels of
// the same images.
void load_batch(const std::uint8_t* images, const std::int64_t* all_labels, ImageShape shape,
                const Placement* placements, std::int64_t batch, const float* scale,
                const float* offset, float* x, std::int64_t* labels, Stream stream);

// One tensor under training, seen as rows (output channels; one row for vectors) of k.
struct Parameter {
  float* value = nullptr;
  const float* gradient = nullptr;
  float* first = nullptr;   // moment of the gradient
  float* second = nullptr;  // of its square; null for SGD
  std::int64_t rows = 1, k = 1;
  bool is_matrix = false;  // of two and more dimensions: weight decay and clip apply
};
// Device scalars that change from step to step.
struct StepFactors {
  const float* rate = nullptr;
  const float* first_correction = nullptr;   // 1 / (1 - beta1^t)
  const float* second_correction = nullptr;  // 1 / (1 - beta2^t)
};
struct AdamOptions {
  float beta1 = 0.9F, beta2 = 0.99F, epsilon = 1e-12F, weight_decay = 0;
  float clip = 0;  // of what clips, in units of the scale that the step is relative to
  float least_share = 0.1F, smallest = 1e-6F;  // of the scale that the step is relative to
};
// Trainer::update_relative_adam on all parameters. scratch: rows of all + number of parameters.
void relative_adam(const std::vector<Parameter>& parameters, const AdamOptions& options,
                   StepFactors factors, float* scratch, Stream stream);
struct SgdOptions {
  float momentum = 0.9F, weight_decay = 0;
};
void sgd(const std::vector<Parameter>& parameters, const SgdOptions& options, StepFactors factors,
         Stream stream);

}  // namespace tessera::nn::gpu
