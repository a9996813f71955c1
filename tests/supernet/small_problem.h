// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "tessera/hw/read_platform.h"
#include "tessera/supernet/strategy.h"

#include "ir/build_graph.h"
#include "support/shared_files.h"

namespace tessera::supernet::test {

// A residual network of four layers for images of 8 × 8 whose brightest quarter is their class: the
// smallest problem that has all that strategies meet.
class SmallProblem {
 public:
  explicit SmallProblem(std::uint64_t seed = 1)
      : platform(hw::load_platform("ibm_hybrid", {testing::source_file("configs/hardware")})),
        network(graph(), torch::kCPU),
        model(network.workload(), platform),
        seed_(seed) {
    data.spec = "small";
    data.classes = 4;
    data.horizontal_flip = false;
    data.crop_padding = 0;
    data.train = split("train", 160, 1);
    data.validation = split("validation", 80, 2);
    preprocessing = {.mean = {0.4}, .std = {0.25}, .source = "test"};
    ranges = nn::observe_ranges(network, data, preprocessing, 40);
    for (std::size_t layer = 0; layer < network.workload().layers.size(); ++layer) {
      auto& paths = space.emplace_back();
      for (const plan::Path& path : model.candidate_paths(layer)) {
        const std::string format = format::to_string(path.parts.front().format);
        if (format == "int8" || format.starts_with("analog"))
          paths.push_back(path);
      }
    }
  }

  Problem problem() const {
    return {.network = network,
            .model = model,
            .data = data,
            .preprocessing = preprocessing,
            .ranges = ranges,
            .space = space,
            .limits = {},
            .evaluation = {.images = 80, .chips = {.chips = 2, .seconds = {86400}}},
            .rng = Rng(seed_)};
  }

  hw::Platform platform;
  nn::Network network;
  cost::TiledModel model;
  nn::Dataset data;
  nn::Preprocessing preprocessing;
  std::vector<nn::RangeObserver> ranges;
  Space space;

 private:
  static ir::Graph graph() {
    ir::GraphBuilder b;
    Rng rng(11);
    const auto weights = [&](const std::string& name, ir::Shape shape) {
      std::vector<float> values(static_cast<std::size_t>(ir::element_count(shape)));
      const double sigma =
          std::sqrt(2.0 * static_cast<double>(shape[0]) / static_cast<double>(values.size()));
      for (float& value : values)
        value = static_cast<float>(sigma * rng.normal());
      return b.constant(name, std::move(shape), values);
    };
    const ir::Conv same{.pads = {1, 1, 1, 1}};
    const ir::Unary relu{.kind = ir::UnaryKind::kRelu};
    ir::ValueId x = b.input("x", {1, 1, 8, 8});
    x = b.node("relu1", relu, {b.node("conv1", same, {x, weights("w1", {6, 1, 3, 3})})});
    ir::ValueId y = b.node("conv2", same, {x, weights("w2", {6, 6, 3, 3})});
    y = b.node("relu2", relu, {b.node("add", ir::Binary{}, {x, y})});
    y = b.node("conv3", ir::Conv{.strides = {2, 2}, .pads = {1, 1, 1, 1}},
               {y, weights("w3", {8, 6, 3, 3})});
    y = b.node("flat", ir::Flatten{}, {b.node("relu3", relu, {y})});
    return b.finish({b.node("fc", ir::Linear{}, {y, weights("w4", {4, 128})})});
  }

  static nn::Split split(const std::string& name, std::int64_t count, std::uint64_t seed) {
    Rng rng(seed);
    nn::Split result{.name = name,
                     .images = torch::zeros({count, 1, 8, 8}, torch::kUInt8),
                     .labels = torch::zeros({count}, torch::kInt64)};
    auto* pixel = result.images.data_ptr<std::uint8_t>();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t label = i % 4;
      result.labels.data_ptr<std::int64_t>()[i] = label;
      for (std::int64_t y = 0; y < 8; ++y) {
        for (std::int64_t x = 0; x < 8; ++x) {
          const bool bright = y / 4 * 2 + x / 4 == label;
          const double value = (bright ? 140 : 90) + 40 * rng.normal();
          *pixel++ = static_cast<std::uint8_t>(std::min(255.0, std::max(0.0, value)));
        }
      }
    }
    return result;
  }

  std::uint64_t seed_;
};

// Keeps checkpoints in memory, takes one whenever it may, and ends the run after `stop_at`
// questions.
class MemoryObserver final : public Observer {
 public:
  bool keep_going() override { return asked_++ < stop_at || stop_at < 0; }
  bool interrupted() override { return asked_ > stop_at && stop_at >= 0; }
  void progress(double fraction, const std::string&) override { last_fraction = fraction; }
  void trace(const plan::TracePoint& point) override { traced.push_back(point); }
  void found(const std::vector<Evaluated>&, const nn::Network&, const nn::TensorMap&) override {
    ++times_found;
  }
  bool checkpoint_due() override { return true; }
  void save(std::string_view name, const Checkpoint& checkpoint) override {
    Checkpoint copy{.tensors = {}, .json = checkpoint.json};
    for (const auto& [key, tensor] : checkpoint.tensors)
      copy.tensors[key] = tensor.detach().clone();
    kept[std::string(name)] = std::move(copy);
  }
  std::optional<Checkpoint> load(std::string_view name) override {
    const auto found = kept.find(std::string(name));
    return found == kept.end() ? std::nullopt : std::optional(found->second);
  }

  std::int64_t stop_at = -1;  // never
  std::map<std::string, Checkpoint> kept;
  std::vector<plan::TracePoint> traced;
  double last_fraction = 0;
  int times_found = 0;
  std::int64_t asked() const { return asked_; }

 private:
  std::int64_t asked_ = 0;
};

inline bool same_tensors(const nn::TensorMap& a, const nn::TensorMap& b) {
  if (a.size() != b.size())
    return false;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end() || !tensor.equal(found->second))
      return false;
  }
  return true;
}

// What a strategy must give however often it is interrupted: to the bit, the same.
inline void expect_same(const Solution& a, const Solution& b) {
  EXPECT_EQ(a.front, b.front);
  EXPECT_EQ(a.evaluations, b.evaluations);
  EXPECT_EQ(a.training_samples, b.training_samples);
  ASSERT_EQ(a.weights.size(), b.weights.size());
  for (std::size_t i = 0; i < a.weights.size(); ++i) {
    EXPECT_TRUE(same_tensors(a.weights[i].network, b.weights[i].network)) << "member " << i;
    EXPECT_TRUE(same_tensors(a.weights[i].kernels, b.weights[i].kernels)) << "member " << i;
  }
}

// Runs `strategy` to its end, then again ended at every `stride`-th question and continued: the
// solution and its trace must be the same.
inline Solution expect_resumable(Strategy& strategy, const SmallProblem& small, int stride) {
  const Problem problem = small.problem();
  MemoryObserver whole;
  Solution expected = strategy.run(problem, whole);
  EXPECT_GT(whole.asked(), 2 * stride) << "too few questions to interrupt at";
  std::map<std::string, Checkpoint> kept;
  int runs = 0;
  while (true) {
    MemoryObserver part;
    part.kept = kept;
    part.stop_at = stride;
    const Solution solution = strategy.run(problem, part);
    kept = part.kept;
    EXPECT_LT(++runs, 500) << "it never ends";
    if (runs >= 500)
      break;
    if (part.asked() > stride)
      continue;  // it was ended
    EXPECT_GT(runs, 2);
    expect_same(solution, expected);
    EXPECT_EQ(part.traced, whole.traced);
    break;
  }
  return expected;
}

}  // namespace tessera::supernet::test
