// SPDX-License-Identifier: Apache-2.0
#include "nn/gpu/device.cuh"

namespace tessera::nn::gpu {

void load_batch(const std::uint8_t* images, const std::int64_t* all_labels, ImageShape shape,
                const Placement* placements, std::int64_t batch, const float* scale,
                const float* offset, float* x, std::int64_t* labels, Stream stream) {
  const auto width = static_cast<std::int32_t>(shape.width);
  const auto height = static_cast<std::int32_t>(shape.height);
  const auto channels = static_cast<std::uint32_t>(shape.channels);
  const auto size = static_cast<std::uint32_t>(shape.channels * shape.height * shape.width);
  for_each(batch * size, stream, [=] __device__(std::uint32_t i) {
    const Placement placed = placements[i / size];
    const auto column = static_cast<std::int32_t>(i % width);
    const auto row = static_cast<std::int32_t>(i / width % height);
    const std::uint32_t channel = i / (width * height) % channels;
    if (i % size == 0)
      labels[i / size] = all_labels[placed.image];
    const std::int32_t from_row = row + placed.dy;
    const std::int32_t from_column = column + placed.dx;
    float value = 0;
    if (from_row >= 0 && from_row < height && from_column >= 0 && from_column < width) {
      const std::int32_t source = placed.mirrored != 0 ? width - 1 - from_column : from_column;
      const std::size_t at = static_cast<std::size_t>(placed.image) * size +
                             (static_cast<std::size_t>(channel) * height + from_row) * width +
                             source;
      value = offset[channel] + static_cast<float>(images[at]) * scale[channel];
    }
    x[i] = value;
  });
}

namespace {

// Kernel arguments hold at most 4 KiB on older drivers.
constexpr int kParametersPerLaunch = 48;

struct Group {
  Parameter parameters[kParametersPerLaunch];
  std::uint32_t first_row[kParametersPerLaunch + 1];    // in the scratch
  std::uint32_t first_block[kParametersPerLaunch + 1];  // of elementwise work
  int count;
};

__device__ int parameter_of(const std::uint32_t* firsts, int count, std::uint32_t at) {
  int p = 0;
  while (p + 1 < count && firsts[p + 1] <= at)
    ++p;
  return p;
}

// Mean square of each row, one block for each.
__global__ void row_squares_kernel(Group group, float* rows) {
  const int p = parameter_of(group.first_row, group.count, blockIdx.x);
  const Parameter& parameter = group.parameters[p];
  const auto k = static_cast<std::uint32_t>(parameter.k);
  const float* row =
      parameter.value + static_cast<std::size_t>(blockIdx.x - group.first_row[p]) * k;
  float sum = 0;
  for (std::uint32_t j = threadIdx.x; j < k; j += blockDim.x)
    sum += row[j] * row[j];
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    rows[blockIdx.x] = sum / static_cast<float>(k);
}

// Root mean square of each whole parameter, one block for each.
__global__ void whole_scale_kernel(Group group, AdamOptions options, const float* rows,
                                   float* whole) {
  const auto p = static_cast<int>(blockIdx.x);
  float sum = 0;
  for (std::uint32_t r = group.first_row[p] + threadIdx.x; r < group.first_row[p + 1];
       r += blockDim.x)
    sum += rows[r];
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    const auto count = static_cast<float>(group.parameters[p].rows);
    whole[p] = fmaxf(sqrtf(sum / count), options.smallest);
  }
}

__global__ void adam_kernel(Group group, AdamOptions options, StepFactors factors,
                            const float* rows, const float* whole) {
  const int p = parameter_of(group.first_block, group.count, blockIdx.x);
  const Parameter parameter = group.parameters[p];
  const std::uint32_t blocks = group.first_block[p + 1] - group.first_block[p];
  const auto k = static_cast<std::uint32_t>(parameter.k);
  const auto n = static_cast<std::uint32_t>(parameter.rows) * k;
  const float rate = *factors.rate;
  for (std::uint32_t i = (blockIdx.x - group.first_block[p]) * blockDim.x + threadIdx.x; i < n;
       i += blocks * blockDim.x) {
    const float g = parameter.gradient[i];
    const float first = parameter.first[i] * options.beta1 + g * (1 - options.beta1);
    const float second = parameter.second[i] * options.beta2 + g * g * (1 - options.beta2);
    parameter.first[i] = first;
    parameter.second[i] = second;
    const float direction = first * *factors.first_correction /
                            (sqrtf(second * *factors.second_correction) + options.epsilon);
    float scale = whole[p];
    if (parameter.rows > 1)
      scale = fmaxf(sqrtf(rows[group.first_row[p] + i / k]), scale * options.least_share);
    float value = parameter.value[i] - rate * direction * scale;
    if (parameter.is_matrix)
      value *= 1 - rate * options.weight_decay;
    if (parameter.is_matrix && options.clip > 0)
      value = clamp_to(value, -options.clip * scale, options.clip * scale);
    parameter.value[i] = value;
  }
}

__global__ void sgd_kernel(Group group, SgdOptions options, StepFactors factors) {
  const int p = parameter_of(group.first_block, group.count, blockIdx.x);
  const Parameter parameter = group.parameters[p];
  const std::uint32_t blocks = group.first_block[p + 1] - group.first_block[p];
  const auto n = static_cast<std::uint32_t>(parameter.rows * parameter.k);
  for (std::uint32_t i = (blockIdx.x - group.first_block[p]) * blockDim.x + threadIdx.x; i < n;
       i += blocks * blockDim.x) {
    float g = parameter.gradient[i];
    if (parameter.is_matrix)
      g += options.weight_decay * parameter.value[i];
    const float momentum = parameter.first[i] * options.momentum + g;
    parameter.first[i] = momentum;
    parameter.value[i] -= *factors.rate * (g + options.momentum * momentum);
  }
}

template <typename Body>
void for_each_group(const std::vector<Parameter>& parameters, const Body& body) {
  constexpr std::int64_t kMaxBlocksEach = 64;
  for (std::size_t begin = 0; begin < parameters.size(); begin += kParametersPerLaunch) {
    Group group{};
    group.count =
        static_cast<int>(std::min<std::size_t>(kParametersPerLaunch, parameters.size() - begin));
    for (int p = 0; p < group.count; ++p) {
      const Parameter& parameter = parameters[begin + static_cast<std::size_t>(p)];
      check_size(parameter.rows * parameter.k);
      group.parameters[p] = parameter;
      group.first_row[p + 1] = group.first_row[p] + static_cast<std::uint32_t>(parameter.rows);
      const std::int64_t blocks =
          std::clamp<std::int64_t>(parameter.rows * parameter.k / kThreads, 1, kMaxBlocksEach);
      group.first_block[p + 1] = group.first_block[p] + static_cast<std::uint32_t>(blocks);
    }
    body(group);
  }
}

}  // namespace

void relative_adam(const std::vector<Parameter>& parameters, const AdamOptions& options,
                   StepFactors factors, float* scratch, Stream stream) {
  for_each_group(parameters, [&](const Group& group) {
    const std::uint32_t rows = group.first_row[group.count];
    float* whole = scratch + rows;
    row_squares_kernel<<<rows, 64, 0, stream>>>(group, scratch);
    check_launch();
    whole_scale_kernel<<<static_cast<unsigned>(group.count), 64, 0, stream>>>(group, options,
                                                                              scratch, whole);
    check_launch();
    adam_kernel<<<group.first_block[group.count], kThreads, 0, stream>>>(group, options, factors,
                                                                         scratch, whole);
    check_launch();
    scratch = whole + group.count;
  });
}

void sgd(const std::vector<Parameter>& parameters, const SgdOptions& options, StepFactors factors,
         Stream stream) {
  for_each_group(parameters, [&](const Group& group) {
    sgd_kernel<<<group.first_block[group.count], kThreads, 0, stream>>>(group, options, factors);
    check_launch();
  });
}

}  // namespace tessera::nn::gpu
