// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/normalization.h"

#include <algorithm>

#include <torch/types.h>

#include "tessera/ir/passes.h"
#include "tessera/nn/train/mapped_network.h"

namespace tessera::nn {
namespace {

// Sums over the outputs of every convolution while the float network runs, in float64 and channel
// by channel.
class MomentsRunner final : public LayerRunner {
 public:
  explicit MomentsRunner(std::size_t layers) : sums_(layers) {}

  Tensor run(const LayerCall& call) override {
    Tensor y = apply_layer(call.op, call.x, call.weight, call.bias);
    if (!std::holds_alternative<ir::Conv>(call.op))
      return y;
    Sums& sums = sums_.at(call.layer);
    const Tensor channels = y.detach().to(torch::kFloat64).transpose(0, 1).flatten(1);
    const Tensor first = channels.sum(1), second = channels.square().sum(1);
    sums.first = sums.first.defined() ? sums.first + first : first;
    sums.second = sums.second.defined() ? sums.second + second : second;
    sums.count += channels.size(1);
    return y;
  }

  std::vector<ir::ChannelMoments> moments(const ir::Workload& workload) const {
    std::vector<ir::ChannelMoments> all;
    for (std::size_t layer = 0; layer < sums_.size(); ++layer) {
      const Sums& sums = sums_[layer];
      if (sums.count == 0)
        continue;
      const Tensor mean = (sums.first / sums.count).cpu().contiguous();
      const Tensor variance = (sums.second.cpu() / sums.count - mean.square()).clamp_min(0);
      const auto values = [](const Tensor& t) {
        return std::vector<double>(t.data_ptr<double>(), t.data_ptr<double>() + t.numel());
      };
      all.push_back({.conv = workload.layers[layer].node,
                     .mean = values(mean),
                     .variance = values(variance)});
    }
    return all;
  }

 private:
  struct Sums {
    Tensor first, second;
    std::int64_t count = 0;
  };
  std::vector<Sums> sums_;
};

}  // namespace

ir::Graph with_batch_norm(const Network& network, const Dataset& data,
                          const Preprocessing& preprocessing, std::int64_t images) {
  const torch::NoGradGuard no_grad;
  MomentsRunner runner(network.workload().layers.size());
  for_each_calibration_batch(data, preprocessing, images,
                             [&](const auto& inputs) { network.forward(inputs, runner); });
  return ir::insert_batch_norm(network.to_graph(), runner.moments(network.workload()));
}

}  // namespace tessera::nn
