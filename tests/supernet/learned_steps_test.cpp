// SPDX-License-Identifier: Apache-2.0
// Steps of integer layers that are trained with a mapping: what continues, what files keep.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "tessera/nn/tensor/generic.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

#include "supernet/small_problem.h"

namespace tessera::supernet {
namespace {

constexpr std::int64_t kSteps = 12;

class LearnedSteps : public ::testing::Test {
 protected:
  // int4/a8 but for the second layer, which is in groups, and the third, which is float.
  plan::Assignment assignment() const {
    plan::Assignment all;
    const std::vector<std::string> formats{"int4/a8", "int4g16/a8", "fp16", "int8"};
    for (std::size_t i = 0; i < formats.size(); ++i) {
      const std::int64_t channels = small_.network.workload().layers[i].dims.M;
      all.paths.push_back(
          {{{"npu", format::parse_number_format(formats[i]).value(), {0, channels}}}});
    }
    return all;
  }
  nn::MappedNetwork fresh() const {
    nn::MappedNetwork mapped(small_.network, assignment(), small_.platform, small_.ranges);
    mapped.learn_steps();
    return mapped;
  }
  nn::Trainer trainer(const nn::MappedNetwork& mapped) const {
    return {mapped.trained(),
            small_.data,
            small_.preprocessing,
            {.optimizer = nn::Optimizer::kRelativeAdam,
             .steps = kSteps,
             .batch = 20,
             .learning_rate = 0.05},
            Rng(5),
            nullptr};
  }
  static void advance(nn::MappedNetwork& mapped, nn::Trainer& trainer, std::int64_t until) {
    mapped.train(trainer, Rng(6), [&](const nn::Trainer& now, const nn::Tensor&) {
      return now.steps_done() < until;
    });
  }
  nn::MappedNetwork trained() const {
    nn::MappedNetwork mapped = fresh();
    nn::Trainer all = trainer(mapped);
    advance(mapped, all, kSteps);
    return mapped;
  }
  nn::Tensor outputs(const nn::MappedNetwork& mapped) const {
    const torch::NoGradGuard no_grad;
    for (nn::LayerKernel* kernel : mapped.kernels()) {
      if (kernel != nullptr)
        kernel->set_training(false);
    }
    nn::KernelRunner runner(mapped.kernels());
    return mapped.network().forward(
        nn::network_inputs(small_.data.validation, small_.preprocessing), runner);
  }

  test::SmallProblem small_;
};

TEST_F(LearnedSteps, ContinueToTheSameBits) {
  nn::MappedNetwork whole = fresh();
  nn::Trainer first = trainer(whole);
  advance(whole, first, 5);
  const nn::TensorMap state = first.state();
  advance(whole, first, kSteps);

  nn::MappedNetwork resumed = fresh();
  nn::Trainer second = trainer(resumed);
  second.restore(state);
  advance(resumed, second, kSteps);
  EXPECT_TRUE(test::same_tensors(resumed.kernel_state(), whole.kernel_state()));
  EXPECT_EQ(resumed.numerics(), whole.numerics());
  // Three integer layers, each with steps of weights and input, and all of them moved.
  const nn::TensorMap start = fresh().kernel_state();
  ASSERT_EQ(whole.kernel_state().size(), 6U);
  for (const auto& [name, tensor] : whole.kernel_state())
    EXPECT_FALSE(tensor.equal(start.at(name))) << name;
}

TEST_F(LearnedSteps, FilesKeepThem) {
  const nn::MappedNetwork mapped = trained();
  const plan::Numerics numerics = mapped.numerics();
  nn::MappedNetwork read(mapped.network(), assignment(), small_.platform, numerics);
  EXPECT_FALSE(outputs(read).equal(outputs(mapped))) << "scales by the weights are others";
  read.load_kernel_state(mapped.kernel_state());
  EXPECT_TRUE(outputs(read).equal(outputs(mapped)));
  EXPECT_EQ(read.numerics(), numerics);

  nn::MappedNetwork without(mapped.network(), assignment(), small_.platform, small_.ranges);
  without.load_kernel_state({});
  EXPECT_TRUE(without.kernel_state().empty());
}

TEST_F(LearnedSteps, EndInTheExportedFile) {
  const nn::MappedNetwork mapped = trained();
  const auto file = testing::temp_folder() / "learned.onnx";
  onnx::export_onnx(mapped.network().to_graph(),
                    {.mapping = onnx::ExportMapping{.assignment = mapped.assignment(),
                                                    .numerics = mapped.numerics()}},
                    file);
  const nn::Network exported(onnx::import_onnx(file), torch::kCPU);
  nn::FloatRunner floats;
  const nn::Tensor found =
      exported.forward(nn::network_inputs(small_.data.validation, small_.preprocessing), floats);
  const nn::Tensor expected = outputs(mapped);
  // Inputs next to a tie may round the other way after sums in another order.
  const double range = (expected.max() - expected.min()).item<double>();
  EXPECT_LT((found - expected).abs().max().item<double>(), 0.01 * range);
}

}  // namespace
}  // namespace tessera::supernet
