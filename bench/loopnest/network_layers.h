// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tessera/ir/loop_problem.h"

namespace tessera::bench {

struct NetworkLayer {
  std::string name;
  ir::ConvShape shape;
};

// Convolutions and the classifier of the published networks for images of 224 x 224, in order.
inline std::vector<NetworkLayer> mobilenet_v1() {
  std::vector<NetworkLayer> layers = {
      {"conv1",
       {.c = 3, .m = 32, .r = 3, .s = 3, .p = 112, .q = 112, .row_stride = 2, .column_stride = 2}}};
  std::int64_t channels = 32;
  std::int64_t size = 112;
  const struct {
    std::int64_t outputs, stride;
  } blocks[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
  int number = 2;
  for (const auto& block : blocks) {
    size /= block.stride;
    layers.push_back({"dw" + std::to_string(number),
                      {.r = 3,
                       .s = 3,
                       .p = size,
                       .q = size,
                       .g = channels,
                       .row_stride = block.stride,
                       .column_stride = block.stride}});
    layers.push_back({"pw" + std::to_string(number++),
                      {.c = channels, .m = block.outputs, .p = size, .q = size}});
    channels = block.outputs;
  }
  layers.push_back({"fc", {.c = 1024, .m = 1000}});
  return layers;
}

inline std::vector<NetworkLayer> mobilenet_v2() {
  std::vector<NetworkLayer> layers = {
      {"conv1",
       {.c = 3, .m = 32, .r = 3, .s = 3, .p = 112, .q = 112, .row_stride = 2, .column_stride = 2}}};
  std::int64_t channels = 32;
  std::int64_t size = 112;
  const struct {
    std::int64_t expansion, outputs, repeats, stride;
  } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  int number = 1;
  for (const auto& stage : stages) {
    for (std::int64_t i = 0; i < stage.repeats; ++i) {
      const std::int64_t stride = i == 0 ? stage.stride : 1;
      const std::int64_t wide = channels * stage.expansion;
      const std::string name = std::to_string(number++);
      if (stage.expansion > 1)
        layers.push_back({"expand" + name, {.c = channels, .m = wide, .p = size, .q = size}});
      size /= stride;
      layers.push_back({"dw" + name,
                        {.r = 3,
                         .s = 3,
                         .p = size,
                         .q = size,
                         .g = wide,
                         .row_stride = stride,
                         .column_stride = stride}});
      layers.push_back({"project" + name, {.c = wide, .m = stage.outputs, .p = size, .q = size}});
      channels = stage.outputs;
    }
  }
  layers.push_back({"conv2", {.c = 320, .m = 1280, .p = 7, .q = 7}});
  layers.push_back({"fc", {.c = 1280, .m = 1000}});
  return layers;
}

inline std::vector<NetworkLayer> resnet18() {
  std::vector<NetworkLayer> layers = {
      {"conv1",
       {.c = 3, .m = 64, .r = 7, .s = 7, .p = 112, .q = 112, .row_stride = 2, .column_stride = 2}}};
  std::int64_t channels = 64;
  std::int64_t size = 56;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t outputs = 32LL << stage;
    for (int block = 0; block < 2; ++block) {
      const std::int64_t stride = block == 0 && stage > 1 ? 2 : 1;
      size /= stride;
      const std::string name = "layer" + std::to_string(stage) + "." + std::to_string(block);
      layers.push_back({name + ".conv1",
                        {.c = channels,
                         .m = outputs,
                         .r = 3,
                         .s = 3,
                         .p = size,
                         .q = size,
                         .row_stride = stride,
                         .column_stride = stride}});
      layers.push_back(
          {name + ".conv2", {.c = outputs, .m = outputs, .r = 3, .s = 3, .p = size, .q = size}});
      if (stride > 1)
        layers.push_back({name + ".down",
                          {.c = channels,
                           .m = outputs,
                           .p = size,
                           .q = size,
                           .row_stride = stride,
                           .column_stride = stride}});
      channels = outputs;
    }
  }
  layers.push_back({"fc", {.c = 512, .m = 1000}});
  return layers;
}

// As one dense convolution over all channels.
inline ir::ConvShape dense(ir::ConvShape shape) {
  shape.c *= shape.g;
  shape.m *= shape.g;
  shape.g = 1;
  return shape;
}

}  // namespace tessera::bench
