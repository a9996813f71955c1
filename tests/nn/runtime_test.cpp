// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/runtime.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include "tessera/core/error.h"

namespace tessera::nn {
namespace {

using ::testing::HasSubstr;

std::string message_of(const RuntimeOptions& options) {
  try {
    set_up_torch(options);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Runtime, SetsThreadsAndRecordsThem) {
  const torch::Device device = set_up_torch({.threads = 1, .device = "cpu"});
  EXPECT_EQ(at::get_num_threads(), 1);
  const RuntimeRecord record = runtime_record(device);
  EXPECT_EQ(record.threads, 1);
  EXPECT_EQ(record.device, "cpu");
  EXPECT_FALSE(record.torch_version.empty());
  EXPECT_NE(record.cpu_capability, "unknown");
}

TEST(Runtime, CanBeSetUpAgain) {
  set_up_torch({.threads = 2, .device = "cpu"});
  set_up_torch({.threads = 1, .device = "cpu"});
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST(Runtime, NamesTheDevicesThatExist) {
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CUDA", ""})
    EXPECT_THAT(message_of({.device = device}), HasSubstr("known: cpu, cuda, cuda:K")) << device;
}

TEST(Runtime, SaysWhyAGpuCannotBeUsed) {
  if (torch::cuda::is_available()) {
    EXPECT_THAT(message_of({.device = "cuda:99"}), HasSubstr("numbered from 0"));
  } else {
    EXPECT_THAT(message_of({.device = "cuda"}), HasSubstr("use --device cpu"));
  }
}

TEST(Runtime, RejectsANegativeThreadCount) {
  EXPECT_THAT(message_of({.threads = -1}), HasSubstr("-1"));
}

}  // namespace
}  // namespace tessera::nn
