// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/log.h"
#include "tessera/core/units.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/settings.h"
#include "tessera/flow/test_data.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/data/npz.h"
#include "tessera/nn/tensor/bridge.h"
#include "tessera/nn/train/evaluate.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/plan/mapping.h"
#include "tessera/report/table.h"

#include "commands.h"

namespace tessera::cli {

namespace {

using nlohmann::ordered_json;

struct EvalOptions {
  std::string network;
  std::string check;
  std::string test_data;
  std::string data;
  std::string mapping;
  std::string hardware;
  std::string times = "1d";
  std::int64_t chips = 10;
  double tolerance = 1e-4;
  std::int64_t images = 0;
  std::int64_t batch = nn::kEvaluationBatch;
};

// Stored arrays -------------------------------------------------------------------------------

std::string names_of(const nn::NamedTensors& arrays) {
  std::string names;
  for (const auto& [name, tensor] : arrays)
    names += (names.empty() ? "" : ", ") + name;
  return names;
}

// "Nx3x32x32": any batch of the value's shape.
std::string batch_shape(const ir::Shape& shape) {
  const std::string text = ir::to_string(shape);
  const std::size_t x = text.find('x');
  return x == std::string::npos ? "N" : "N" + text.substr(x);
}

torch::Tensor stored_input(const nn::NamedTensors& arrays, const std::string& file,
                           const ir::Value& input) {
  const std::string name = "in_" + input.name;
  const torch::Tensor* stored = nn::find(arrays, name);
  if (stored == nullptr)
    throw UsageError(fmt::format("{}: no array '{}' for the network's input '{}'; found: {}", file,
                                 name, input.name, names_of(arrays)));
  const bool floats = input.dtype == ir::DType::kFloat32;
  if (stored->is_floating_point() != floats)
    throw UsageError(fmt::format("{}: array '{}' is {}, the network takes {}", file, name,
                                 torch::toString(stored->scalar_type()), ir::name(input.dtype)));
  const bool fits =
      stored->dim() == static_cast<std::int64_t>(input.shape->size()) && stored->dim() > 0 &&
      stored->size(0) > 0 &&
      std::equal(input.shape->begin() + 1, input.shape->end(), stored->sizes().begin() + 1);
  if (!fits)
    throw UsageError(fmt::format("{}: array '{}' is {}, the network's input is {}", file, name,
                                 ir::to_string(stored->sizes().vec()), batch_shape(*input.shape)));
  return stored->to(nn::torch_type(input.dtype));
}

struct Comparison {
  std::string output;
  double largest_difference = 0;
  double range = 0;     // of the stored output
  double relative = 0;  // difference / range
};

Comparison compare(const std::string& name, const torch::Tensor& computed,
                   const torch::Tensor& stored, const std::string& file) {
  if (computed.sizes() != stored.sizes())
    throw UsageError(fmt::format("{}: array 'out_{}' is {}, the network's output is {}", file, name,
                                 ir::to_string(stored.sizes().vec()),
                                 ir::to_string(computed.sizes().vec())));
  const torch::Tensor expected = stored.to(torch::kFloat64);
  const torch::Tensor actual = computed.to(torch::kCPU, torch::kFloat64);
  // Equal infinities, and NaN where NaN is expected, agree.
  const torch::Tensor same =
      (actual == expected).logical_or(torch::isnan(actual).logical_and(torch::isnan(expected)));
  const torch::Tensor difference =
      torch::where(same, torch::zeros_like(expected), (actual - expected).abs());
  Comparison result{.output = name};
  if (expected.numel() == 0)
    return result;
  const torch::Tensor finite = expected.masked_select(torch::isfinite(expected));
  if (finite.numel() > 0)
    result.range = (finite.max() - finite.min()).item<double>();
  // NaN compares as no larger than anything: it must fail, not pass.
  result.largest_difference = torch::isnan(difference).any().item<bool>()
                                  ? std::numeric_limits<double>::infinity()
                                  : difference.max().item<double>();
  result.relative = result.largest_difference / (result.range > 0 ? result.range : 1);
  return result;
}

std::vector<Comparison> run_check(const EvalOptions& options, const ir::Graph& graph,
                                  torch::Device device) {
  const nn::NamedTensors arrays = nn::read_npz(options.check);
  const nn::Network network(graph, device);
  const torch::InferenceMode inference;
  std::vector<torch::Tensor> inputs;
  for (const ir::ValueId input : graph.inputs)
    inputs.push_back(stored_input(arrays, options.check, graph.value(input)).to(device));
  nn::FloatRunner runner;
  const std::vector<torch::Tensor> outputs = network.forward_all(inputs, runner);
  std::vector<Comparison> comparisons;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.value(graph.outputs[i]).name;
    if (const torch::Tensor* stored = nn::find(arrays, "out_" + name))
      comparisons.push_back(compare(name, outputs[i], *stored, options.check));
  }
  if (comparisons.empty())
    throw UsageError(fmt::format("{}: no array 'out_{}' to compare with; found: {}", options.check,
                                 graph.value(graph.outputs.front()).name, names_of(arrays)));
  return comparisons;
}

std::vector<Comparison> run_test_data(const EvalOptions& options, torch::Device device) {
  std::vector<Comparison> comparisons;
  const std::vector<onnx::TestData> sets = onnx::read_test_data(options.test_data);
  for (const onnx::TestData& data : sets) {
    const auto outputs = flow::run_test_data(options.network, data, device);
    for (std::size_t i = 0; i < data.outputs.size(); ++i) {
      comparisons.push_back(compare(outputs[i].name, outputs[i].value,
                                    nn::to_torch(data.outputs[i]), data.folder.string()));
      if (sets.size() > 1)
        comparisons.back().output += " of " + data.folder.filename().string();
    }
  }
  return comparisons;
}

int check(const EvalOptions& options, const CommonOptions& common) {
  const torch::Device device = nn::set_up_torch(common.runtime);
  const std::string source = options.check.empty() ? options.test_data : options.check;
  std::vector<Comparison> comparisons;
  std::string sha256;
  if (options.check.empty()) {
    comparisons = run_test_data(options, device);
    sha256 = sha256_file(options.network);
  } else {
    const flow::LoadedNetwork network = flow::load_network(options.network);
    comparisons = run_check(options, network.graph, device);
    sha256 = network.file.sha256;
  }
  const double worst = std::max_element(comparisons.begin(), comparisons.end(),
                                        [](const Comparison& a, const Comparison& b) {
                                          return a.relative < b.relative;
                                        })
                           ->relative;
  const bool agrees = worst <= options.tolerance;
  if (common.json) {
    ordered_json rows = ordered_json::array();
    for (const Comparison& row : comparisons)
      rows.push_back({{"output", row.output},
                      {"largest_difference", row.largest_difference},
                      {"range", row.range},
                      {"relative", row.relative}});
    const ordered_json json{{"network", {{"file", options.network}, {"sha256", sha256}}},
                            {"check", source},
                            {"outputs", rows},
                            {"largest_relative", worst},
                            {"tolerance", options.tolerance},
                            {"agrees", agrees}};
    print_json(json);
  } else {
    report::Table table({{.title = "output"},
                         {.title = "largest difference", .align = report::Align::kRight},
                         {.title = "range", .align = report::Align::kRight},
                         {.title = "difference / range", .align = report::Align::kRight}});
    for (const Comparison& row : comparisons)
      table.add_row({row.output, fmt::format("{:.3g}", row.largest_difference),
                     fmt::format("{:.4g}", row.range), fmt::format("{:.3g}", row.relative)});
    print_result(table.render() + fmt::format("{} within {:g} of the range\n",
                                              agrees ? "agrees" : "does NOT agree",
                                              options.tolerance));
  }
  return agrees ? kDone : kNoAnswer;
}

// Data sets -----------------------------------------------------------------------------------

// Top-1 on the split: of the network as it came, or under a mapping, on the same chips that `map`
// measured with this seed.
std::vector<plan::Accuracy> top1(const EvalOptions& options, const nn::Network& network,
                                 const nn::Split& split, const nn::Preprocessing& preprocessing,
                                 std::uint64_t seed) {
  if (options.mapping.empty()) {
    nn::FloatRunner runner;
    return {{.mean = nn::accuracy(network, runner, split, preprocessing, options.batch),
             .split = split.name,
             .images = split.size()}};
  }
  const plan::MappingInput input = plan::read_mapping(options.mapping);
  const hw::Platform platform = hw::load_platform(
      options.hardware.empty() ? input.platform.name : options.hardware, hw::platform_folders());
  const nn::MappedNetwork mapped = flow::load_mapped(
      network, input, std::filesystem::path(options.mapping).parent_path(), platform);
  return mapped.measure(split, preprocessing,
                        {.chips = options.chips, .seconds = flow::parse_times(options.times)},
                        Rng(seed).split("test"));
}

std::string accuracy_lines(const std::vector<plan::Accuracy>& rows) {
  std::string text;
  for (const plan::Accuracy& row : rows) {
    text += fmt::format("top-1 {:.2f}", 100 * row.mean);
    if (row.n > 1)
      text += fmt::format(" ± {:.2f}", 100 * row.std);
    text += " %";
    if (row.t_eval_s > 0)
      text += fmt::format("   {} after programming, {} chips",
                          exact_quantity(row.t_eval_s * 1e9, Dimension::kTime), row.n);
    text += "\n";
  }
  return text;
}

ordered_json to_json(const std::vector<plan::Accuracy>& rows) {
  ordered_json json = ordered_json::array();
  for (const plan::Accuracy& row : rows)
    json.push_back({{"metric", row.metric},
                    {"mean", row.mean},
                    {"std", row.std},
                    {"n", row.n},
                    {"t_eval_s", row.t_eval_s},
                    {"split", row.split},
                    {"images", row.images}});
  return json;
}

int measure(const EvalOptions& options, const CommonOptions& common) {
  const torch::Device device = nn::set_up_torch(common.runtime);
  const flow::LoadedNetwork loaded = flow::load_network(options.network);
  const nn::Network network(loaded.graph, device);
  nn::Dataset data = nn::load_dataset(options.data, common.seed);
  flow::fit_data(loaded.graph, data, options.network);
  const nn::Preprocessing preprocessing = nn::choose_preprocessing(loaded.graph, data);
  const nn::Split split = nn::take(data.test, options.images);

  const auto start = std::chrono::steady_clock::now();
  const std::vector<plan::Accuracy> rows =
      top1(options, network, split, preprocessing, common.seed);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (common.json) {
    const nn::RuntimeRecord runtime = nn::runtime_record(device);
    const ordered_json json{
        {"network", {{"file", loaded.file.file}, {"sha256", loaded.file.sha256}}},
        {"data", {{"spec", data.spec}, {"sha256", data.sha256}}},
        {"preprocessing",
         {{"mean", preprocessing.mean},
          {"std", preprocessing.std},
          {"source", preprocessing.source}}},
        {"accuracy", to_json(rows)},
        {"runtime",
         {{"torch", runtime.torch_version},
          {"cpu_capability", runtime.cpu_capability},
          {"threads", runtime.threads},
          {"device", runtime.device}}},
        {"timing", {{"seconds", seconds}}}};
    print_json(json);
  } else {
    print_result(accuracy_lines(rows) +
                 fmt::format("{} images of {} ({}), normalized by: {}\n{:.1f} s on {}\n",
                             split.size(), data.spec, split.name, preprocessing.source, seconds,
                             device.str()));
  }
  return kDone;
}

}  // namespace

Command add_eval(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      app.add_subcommand("eval", "Measure a network's accuracy, or compare it with stored outputs");
  command->add_option("NETWORK", options->network, "ONNX file")->required();
  auto* data = command->add_option(
      "--data", options->data,
      "fashion-mnist, cifar10:DIR, idx:DIR or npz:FILE: print top-1 on its test set");
  auto* check_file = command->add_option(
      "--check", options->check,
      "FILE.npz with inputs in_NAME and outputs out_NAME: print the largest difference");
  check_file->excludes(data);
  auto* test_data = command->add_option(
      "--test-data", options->test_data,
      "Folder with ONNX's input_0.pb, output_0.pb, or test_data_set_0 …: print the largest "
      "difference");
  test_data->excludes(data)->excludes(check_file);
  command->add_option("--images", options->images, "First images of the test set; 0: all")
      ->check(at_least(0))
      ->excludes(check_file)
      ->excludes(test_data)
      ->capture_default_str();
  command->add_option("--batch", options->batch, "Images that run at once")
      ->check(at_least(1))
      ->excludes(check_file)
      ->excludes(test_data)
      ->capture_default_str();
  auto* mapping =
      command->add_option("--mapping", options->mapping, "mapping.json to run the network under")
          ->needs(data);
  command
      ->add_option("--hardware", options->hardware,
                   "Preset or YAML file; default: the preset that the mapping names")
      ->needs(mapping);
  command->add_option("--chips", options->chips, "Programmed chips, where layers are analog")
      ->check(at_least(1))
      ->needs(mapping)
      ->capture_default_str();
  command->add_option("--times", options->times, "Times after programming, as 1s,1h,1d,30d")
      ->needs(mapping)
      ->capture_default_str();
  command
      ->add_option("--tolerance", options->tolerance,
                   "Largest difference allowed, relative to the range of the outputs")
      ->check(at_least(0))
      ->excludes(data)
      ->capture_default_str();
  add_common_options(*command, *common, {.seed = true, .runtime = true});
  return {command, common, [options, common] {
            if (options->check.empty() && options->data.empty() && options->test_data.empty())
              throw UsageError(
                  "eval: what to run the network on is missing: --data, --check or --test-data");
            return options->data.empty() ? check(*options, *common) : measure(*options, *common);
          }};
}

}  // namespace tessera::cli
