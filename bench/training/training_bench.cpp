// SPDX-License-Identifier: Apache-2.0
// Training speed in images per second, in one process:
//   bench_training NETWORK HARDWARE DEVICE [BATCH]
// Random images of the network's size. `stock` loops are what LibTorch's operators and optimizer
// give out of the box; the others are Tessera's steps.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include "tessera/cost/tiled.h"
#include "tessera/flow/baselines.h"
#include "tessera/flow/inputs.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/workload.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/supernet/supernet.h"

namespace tessera {
namespace {

using torch::Tensor;

struct Setup {
  ir::Graph graph;
  hw::Platform platform;
  cost::TiledModel model;
  torch::Device device;
  std::int64_t batch;
  nn::Dataset data;
  nn::Preprocessing preprocessing;
  nn::Network network;
  std::vector<nn::RangeObserver> ranges;
};

nn::Dataset random_images(const ir::Graph& graph, torch::Device device) {
  const ir::Shape& shape = graph.value(graph.inputs.front()).shape.value();
  nn::Dataset data;
  data.classes = 10;
  data.train = {"train",
                torch::randint(0, 256, {10240, shape[1], shape[2], shape[3]}, torch::kUInt8),
                torch::randint(0, 10, {10240}, torch::kInt64)};
  data.train = nn::to_device(data.train, device);
  return data;
}

Setup make_setup(const std::string& network, const std::string& hardware, torch::Device device,
                 std::int64_t batch) {
  ir::Graph graph = flow::load_network(network).graph;
  hw::Platform platform = hw::load_platform(hardware, {"configs/hardware"});
  cost::TiledModel model(ir::workload(graph), platform);
  nn::Dataset data = random_images(graph, device);
  const auto channels = static_cast<std::size_t>(data.train.images.size(1));
  nn::Preprocessing preprocessing{.mean = std::vector<double>(channels, 0.5),
                                  .std = std::vector<double>(channels, 0.25),
                                  .source = "benchmark"};
  nn::Network built(graph, device);
  auto ranges = nn::observe_ranges(built, data, preprocessing, 500);
  return {std::move(graph), std::move(platform), std::move(model), device,           batch,
          std::move(data),  preprocessing,       std::move(built), std::move(ranges)};
}

void wait(const Setup& setup) {
  if (setup.device.is_cuda())
    torch::cuda::synchronize();
}

// Times `step` in bulk, since a GPU runs behind the host; reports images per second.
template <typename Step>
void measure(benchmark::State& state, const Setup& setup, const Step& step) {
  const int in_bulk = setup.device.is_cuda() ? 50 : 1;
  for (int i = 0; i < 5; ++i)
    step();
  wait(setup);
  std::int64_t images = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < in_bulk; ++i)
      step();
    wait(setup);
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    images += in_bulk * setup.batch;
  }
  state.counters["images_per_second"] =
      benchmark::Counter(static_cast<double>(images), benchmark::Counter::kIsRate);
}

nn::TrainingOptions options_of(const Setup& setup) {
  return {.optimizer = nn::Optimizer::kRelativeAdam,
          .steps = 1000000,
          .batch = setup.batch,
          .learning_rate = 1e-4};
}

// A batch, a forward and backward pass by `runner`, and SGD, all of LibTorch's.
void stock(benchmark::State& state, const Setup& setup, nn::LayerRunner& runner) {
  nn::Network network = setup.network.clone();
  torch::optim::SGD sgd(network.parameters(), torch::optim::SGDOptions(1e-4).momentum(0.9));
  std::int64_t at = 0;
  measure(state, setup, [&] {
    const Tensor images = setup.data.train.images.slice(0, at, at + setup.batch);
    const Tensor labels = setup.data.train.labels.slice(0, at, at + setup.batch);
    at = (at + setup.batch) % (setup.data.train.size() - setup.batch);
    sgd.zero_grad();
    const Tensor x = (images.to(torch::kFloat32) / 255 - 0.5) / 0.25;
    at::cross_entropy_loss(network.forward(x, runner), labels).backward();
    sgd.step();
  });
}

void stock_float(benchmark::State& state, const Setup& setup) {
  nn::FloatRunner runner;
  stock(state, setup, runner);
}

// An analog layer as one writes it with stock operators: noise on weights, converters by clamp and
// round with straight-through gradients, noise on outputs.
class StockAnalog final : public nn::LayerRunner {
 public:
  Tensor run(const nn::LayerCall& call) override {
    const Tensor scale = call.weight.detach().abs().flatten(1).amax(1).clamp_min(1e-7);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(call.weight.dim()), 1);
    rows[0] = -1;
    const Tensor weight = call.weight + torch::randn_like(call.weight) * 0.05 * scale.view(rows);
    const double range = 3;
    const Tensor clamped = call.x.clamp(-range, range);
    const Tensor step = torch::full({}, range / 127);
    const Tensor x = clamped + ((clamped / step).round() * step - clamped).detach();
    Tensor y = nn::apply_layer(call.op, x, weight, Tensor());
    std::vector<std::int64_t> columns(static_cast<std::size_t>(y.dim()), 1);
    columns[1] = -1;
    const Tensor unit = (scale * range).view(columns);
    y = y + torch::randn_like(y) * 0.06 * unit;
    const Tensor bound = unit * 12;
    const Tensor inside = torch::minimum(torch::maximum(y, -bound), bound);
    const Tensor codes =
        inside + ((inside / (bound / 127)).round() * (bound / 127) - inside).detach();
    return call.bias.defined() ? codes + call.bias.view(columns) : codes;
  }
};

void stock_analog(benchmark::State& state, const Setup& setup) {
  StockAnalog runner;
  stock(state, setup, runner);
}

void mapped(benchmark::State& state, const Setup& setup, const std::string& format) {
  nn::MappedNetwork network(setup.network, flow::uniform_assignment(setup.model, format),
                            setup.platform, setup.ranges);
  nn::Trainer trainer(network.trained(), setup.data, setup.preprocessing, options_of(setup), Rng(1),
                      nullptr);
  measure(state, setup, [&] { network.train_step(trainer, Rng(2)); });
}

// One strict-fair step trains a batch on as many models as there are paths.
void fair(benchmark::State& state, const Setup& setup) {
  const supernet::Space space = flow::make_space(setup.model, "fp16,int8,int4/a8,analog");
  supernet::Supernet net(setup.network, space, setup.platform, setup.ranges);
  nn::Trainer trainer(net.trained(), setup.data, setup.preprocessing, options_of(setup), Rng(1),
                      nullptr);
  const std::vector<std::size_t> counts(space.size(), space.front().size());
  const std::vector<std::vector<double>> strength(space.size(),
                                                  std::vector<double>(space.front().size(), 1.0));
  measure(state, setup, [&] {
    const Rng rng = Rng(2).split(static_cast<std::uint64_t>(trainer.steps_done()));
    net.fair_step(trainer, rng, strength, supernet::strict_fair_choices(counts, rng));
  });
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 4) {
    std::cerr << "usage: bench_training NETWORK HARDWARE DEVICE [BATCH]\n";
    return 2;
  }
  using namespace tessera;
  const torch::Device device = nn::set_up_torch({.threads = 0, .device = argv[3]});
  const Setup setup = make_setup(argv[1], argv[2], device, argc > 4 ? std::atoll(argv[4]) : 128);
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&setup, body](benchmark::State& state) { body(state, setup); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("stock/fp32", stock_float);
  for (const std::string format : {"fp16", "int8", "analog"}) {
    add("tessera/" + format,
        [format](benchmark::State& state, const Setup& s) { mapped(state, s, format); });
  }
  add("stock/analog", stock_analog);
  add("tessera/strict_fair_4_paths", fair);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
