// SPDX-License-Identifier: Apache-2.0
// For integer_ort_test.py: reads ONNX files and, with every layer in each of the forms below,
// writes the QDQ file (NAME.int8.onnx, …) and what the integer executor computes for a random input
// (NAME.int8.npz: in_*, out_*).
//
// NAME.int8 has scales rounded up to powers of two: then every float32 product and sum that a
// runtime may do in place of integers is exact, and outputs must agree bit for bit.
// NAME.calibrated.int8 has the scales that calibration gives.
//
// A StruM layer's integers are those of its decoded packed weights.
// Of each of these files two more are made: NAME.int8.same.onnx is what import and export make of
// it, NAME.int8.folded.onnx the same when constants are folded as the commands do.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/ir/passes.h"
#include "tessera/nn/data/npz.h"
#include "tessera/nn/quant/quantize.h"
#include "tessera/nn/quant/strum_kernel.h"
#include "tessera/nn/tensor/generic.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

namespace tessera::nn {
namespace {

constexpr std::int64_t kBatch = 8;

using format::Integer;

struct Form {
  std::string name;             // of the file
  std::vector<Integer> layers;  // in turn
  bool per_channel = true;
  bool symmetric = false;  // inputs
  int opset = 13;
};

const Form kForms[] = {
    {"int8", {{8, 8}}},
    {"int7", {{7, 7}}},
    {"int6", {{6, 6}}},
    {"int5", {{5, 5}}},
    {"int4", {{4, 4}}},
    {"int3", {{3, 3}}},
    {"int2", {{2, 2}}},
    {"int6a7", {{6, 7}}},
    {"int3a8", {{3, 8}}},
    {"int8tensor", {{8, 8}}, false},
    {"int8symmetric", {{8, 8}}, true, true},
    {"int8symmetrictensor", {{8, 8}}, false, true},
    {"int8opset21", {{8, 8}}, true, false, 21},
    {"int4stored", {{4, 8}}, true, false, 21},
    {"int8a16", {{8, 16}}, true, false, 21},
    {"mixed", {{8, 8}, {4, 4}, {2, 8}, {5, 7}}},
    {"int4g32", {{4, 8, 32}}},
    {"int8g8", {{8, 8, 8}}},
    {"mixedgroups", {{4, 4, 16}, {8, 8}, {3, 8, 64}}},
    {"mixedstored", {{4, 8}, {8, 16}, {8, 8}, {4, 16}, {3, 3}}, true, false, 21},
};

// One scale for all channels: the largest.
void join_channels(plan::AffineCode& code) {
  code.scales = {*std::max_element(code.scales.begin(), code.scales.end())};
  code.zero_points = {0};
}

void round_up_to_powers_of_two(plan::AffineCode& code) {
  for (float& scale : code.scales)
    scale = std::exp2(std::ceil(std::log2(scale)));
}

bool has_groups(const Form& form) {
  return std::ranges::any_of(form.layers, [](const Integer& bits) { return bits.group > 0; });
}

// Biases stay real numbers beside weights in groups: on a grid of powers of two, sums are exact.
Network with_biases_on_a_grid(const Network& network) {
  Network rounded = network.clone();
  for (LayerParameters& layer : rounded.layers()) {
    if (layer.bias.defined())
      layer.bias.mul_(1024).round_().div_(1024);
  }
  return rounded;
}

std::vector<torch::Tensor> random_inputs(const ir::Graph& graph) {
  std::vector<torch::Tensor> inputs;
  for (const ir::ValueId input : graph.inputs) {
    ir::Shape shape = *graph.value(input).shape;
    shape.front() = kBatch;
    inputs.push_back(torch::randn(shape));
  }
  return inputs;
}

// Weights whose codes are what hardware multiplies with, and the code that holds them all.
void apply_strum(const format::Strum& scheme, LayerParameters& layer, plan::AffineCode& code) {
  const torch::Tensor codes = quantize(layer.weight, code).to(torch::kInt8).contiguous();
  const auto values = format::strum_decode(
      format::strum_encode({codes.data_ptr<std::int8_t>(), static_cast<std::size_t>(codes.numel())},
                           weight_shape(codes), scheme));
  const torch::Tensor integers = torch::tensor(values, torch::kInt16).reshape(codes.sizes());
  layer.weight = dequantize(integers.to(torch::kInt32), code);
  code.low = -128;
}

// With a scheme the form is that of 8 bits, and all layers are StruM layers.
void write_sample(const ir::Graph& graph, const Network& network,
                  const std::vector<torch::Tensor>& inputs, const Form& form,
                  const std::optional<format::Strum>& scheme, bool exact,
                  const std::filesystem::path& stem) {
  ObservingRunner observing(network.layers().size());
  network.forward_all(inputs, observing);
  onnx::ExportMapping mapping;
  Network computed = network.clone();
  plan::Numerics numerics_of_computed;
  for (std::size_t i = 0; i < network.layers().size(); ++i) {
    const ir::Layer& layer = network.workload().layers[i];
    const Integer& bits = form.layers[i % form.layers.size()];
    plan::LayerNumerics numerics{
        .weights = weight_code(network.layers()[i].weight, bits,
                               scheme ? RangeMethod::kMinMax : RangeMethod::kMse),
        .input = activation_code(observing.observers()[i], bits.activation_bits,
                                 {.symmetric_activations = form.symmetric})};
    if (!form.per_channel)
      join_channels(numerics.weights);
    if (exact) {
      round_up_to_powers_of_two(numerics.weights);
      round_up_to_powers_of_two(numerics.input);
    }
    format::NumberFormat number_format = bits;
    if (scheme)
      number_format = *scheme;
    mapping.assignment.paths.push_back({{{"npu", number_format, {0, layer.dims.M}}}});
    mapping.numerics[layer.name] = numerics;
    if (scheme)
      apply_strum(*scheme, computed.layers()[i], numerics.weights);
    numerics_of_computed[layer.name] = std::move(numerics);
  }
  const std::string file = stem.string() + ".onnx";
  onnx::export_onnx(graph, {.mapping = mapping, .opset = form.opset}, file);
  onnx::export_onnx(onnx::import_onnx(file), {}, stem.string() + ".same.onnx");
  onnx::export_onnx(ir::canonicalize(onnx::import_onnx(file, {.evaluate = evaluate})), {},
                    stem.string() + ".folded.onnx");
  IntegerRunner integers(computed, numerics_of_computed);
  const std::vector<torch::Tensor> outputs = computed.forward_all(inputs, integers);
  NamedTensors arrays;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    arrays.emplace_back("in_" + graph.value(graph.inputs[i]).name, inputs[i]);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    arrays.emplace_back("out_" + graph.value(graph.outputs[i]).name, outputs[i].contiguous());
  write_npz(stem.string() + ".npz", arrays);
}

}  // namespace
}  // namespace tessera::nn

int main(int argc, char** argv) {
  using namespace tessera;
  if (argc < 3) {
    std::fputs("usage: integer_samples OUT FILE...\n", stderr);
    return 2;
  }
  torch::manual_seed(1);
  const torch::NoGradGuard no_grad;
  for (int i = 2; i < argc; ++i) {
    const std::filesystem::path file = argv[i];
    const ir::Graph graph = ir::canonicalize(onnx::import_onnx(file));
    const nn::Network network(graph, torch::kCPU);
    const std::vector<torch::Tensor> inputs = nn::random_inputs(graph);
    const nn::Network rounded = nn::with_biases_on_a_grid(network);
    const ir::Graph rounded_graph = rounded.to_graph();
    const auto write = [&](const nn::Form& form, const std::optional<format::Strum>& scheme) {
      const bool groups = nn::has_groups(form);
      for (const bool exact : {true, false}) {
        nn::write_sample(
            groups ? rounded_graph : graph, groups ? rounded : network, inputs, form, scheme, exact,
            std::filesystem::path(argv[1]) / fmt::format("{}{}.{}", file.stem().string(),
                                                         exact ? "" : ".calibrated", form.name));
      }
    };
    for (const nn::Form& form : nn::kForms)
      write(form, std::nullopt);
    for (const std::string low : {"mip2q", "dliq", "sparsity"})
      write({low, {{8, 8}}}, format::parse_strum(low).value());
  }
  return 0;
}
