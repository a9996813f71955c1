// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/units.h"
#include "tessera/flow/quantize.h"
#include "tessera/report/table.h"

#include "commands.h"

namespace tessera::cli {

namespace {

using nlohmann::ordered_json;

struct TargetOptions {
  bool search = false;
  std::string max_accuracy_loss;
  std::string min_sqnr;
  std::string max_energy;
};

double parse_number(const std::string& option, const std::string& text, Dimension dimension) {
  const auto value = parse_quantity(text, dimension);
  if (!value)
    throw UsageError(fmt::format("{}: {}", option, value.error().detail));
  return *value;
}

std::optional<flow::QuantizeTarget> target_of(const TargetOptions& options) {
  flow::QuantizeTarget target;
  int targets = 0;
  if (!options.max_accuracy_loss.empty()) {
    target.max_accuracy_loss =
        parse_number("--max-accuracy-loss", options.max_accuracy_loss, Dimension::kRatio);
    ++targets;
  }
  if (!options.min_sqnr.empty()) {
    target.min_sqnr_db = parse_number("--min-sqnr", options.min_sqnr, Dimension::kRatio);
    ++targets;
  }
  if (!options.max_energy.empty()) {
    target.max_energy_pj = parse_number("--max-energy", options.max_energy, Dimension::kEnergy);
    ++targets;
  }
  if (options.search != (targets > 0) || targets > 1)
    throw UsageError(
        fmt::format("quantize: {} with {} targets; allowed: --search with one of "
                    "--max-accuracy-loss, --min-sqnr, --max-energy, or none of them",
                    options.search ? "--search" : "no --search", targets));
  return options.search ? std::optional(target) : std::nullopt;
}

std::string decibels(double db) {
  return std::isinf(db) ? "exact" : fmt::format("{:.2f} dB", db);
}

std::string layer_table(const flow::QuantizeReport& report) {
  using report::Align;
  report::Table table({{.title = "layer", .align = Align::kLeft, .cut = report::Cut::kStart},
                       {.title = "format"},
                       {.title = "weights", .align = Align::kRight},
                       {.title = "SQNR", .align = Align::kRight},
                       {.title = "of INT8 size", .align = Align::kRight}});
  for (const flow::QuantizedLayer& layer : report.layers) {
    table.add_row({layer.name, format::to_string(layer.format), fmt::format("{}", layer.weights),
                   decibels(layer.sqnr_db),
                   fmt::format("{:.4g}", static_cast<double>(layer.stored_bits) /
                                             (8.0 * static_cast<double>(layer.weights)))});
  }
  return table.render(110);
}

std::string share(const hw::UncertainRatio& ratio) {
  return fmt::format("{:.1f} ± {:.1f} %", 100 * ratio.value, 100 * ratio.plus_minus);
}

std::string savings_table(const flow::QuantizeReport& report) {
  using report::Align;
  report::Table table({{.title = "saved beside INT8"},
                       {.title = "PE power", .align = Align::kRight},
                       {.title = "PE area", .align = Align::kRight},
                       {.title = "DPU power", .align = Align::kRight},
                       {.title = "DPU area", .align = Align::kRight},
                       {.title = "INT8 rate", .align = Align::kRight}});
  const auto add = [&](const char* name, const hw::StrumSavings& s) {
    table.add_row({name, share(s.pe_power), share(s.pe_area), share(s.accelerator_power),
                   share(s.accelerator_area), fmt::format("{:.3g}", s.int8_rate)});
  };
  add("static PE", *report.static_pe);
  add("dynamic PE", *report.dynamic_pe);
  return table.render(110);
}

std::string as_text(const flow::QuantizeReport& report) {
  std::string text = layer_table(report);
  text += fmt::format(
      "\nSQNR {} over the layers that may change; those that did take {:.4g} of their INT8 size, "
      "all layers {:.4g}\n",
      decibels(report.sqnr_db), report.changed_compression, report.compression);
  if (report.equalized_pairs > 0)
    text += fmt::format("{} pairs of layers equalized\n", report.equalized_pairs);
  if (report.corrected_biases > 0)
    text += fmt::format("biases of {} layers corrected\n", report.corrected_biases);
  if (report.accuracy) {
    text += fmt::format("top-1 {:.2f} %", 100 * report.accuracy->quantized);
    if (report.accuracy->int8)
      text += fmt::format("   int8 {:.2f} %   fp32 {:.2f} %", 100 * *report.accuracy->int8,
                          100 * *report.accuracy->fp32);
    text += fmt::format("   ({} test images)\n", report.accuracy->images);
  }
  text += fmt::format("energy {} per image on {}   int8 on plain PEs {}\n",
                      format_quantity(report.mapping.cost.totals.energy_pj, Dimension::kEnergy),
                      report.mapping.platform.name,
                      format_quantity(report.int8_energy_pj, Dimension::kEnergy));
  if (report.static_pe)
    text += fmt::format("\nPEs built for {}:\n", report.scheme) + savings_table(report);
  for (const std::string& file : report.files)
    text += (file == report.files.front() ? "\n" : "") + file + "\n";
  return text;
}

ordered_json to_json(const hw::StrumSavings& s) {
  const auto ratio = [](const hw::UncertainRatio& r) {
    return ordered_json{{"value", r.value}, {"plus_minus", r.plus_minus}};
  };
  return {{"pe_power_saved", ratio(s.pe_power)},
          {"pe_area_saved", ratio(s.pe_area)},
          {"dpu_power_saved", ratio(s.accelerator_power)},
          {"dpu_area_saved", ratio(s.accelerator_area)},
          {"int8_rate", s.int8_rate}};
}

// JSON has no infinity: null where weights are the same as in INT8.
ordered_json decibels_json(double db) {
  return std::isinf(db) ? ordered_json(nullptr) : ordered_json(db);
}

ordered_json as_json(const flow::QuantizeReport& report) {
  ordered_json layers = ordered_json::array();
  for (const flow::QuantizedLayer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"format", format::to_string(layer.format)},
                      {"weights", layer.weights},
                      {"stored_bits", layer.stored_bits},
                      {"sqnr_db", decibels_json(layer.sqnr_db)}});
  ordered_json json{
      {"network",
       {{"file", report.mapping.network.file}, {"sha256", report.mapping.network.sha256}}},
      {"platform",
       {{"name", report.mapping.platform.name}, {"sha256", report.mapping.platform.sha256}}},
      {"scheme", report.scheme},
      {"layers", layers},
      {"sqnr_db", decibels_json(report.sqnr_db)},
      {"changed_compression", report.changed_compression},
      {"compression", report.compression},
      {"equalized_pairs", report.equalized_pairs},
      {"corrected_biases", report.corrected_biases}};
  json["accuracy"] = nullptr;
  if (report.accuracy) {
    json["accuracy"] = {{"quantized", report.accuracy->quantized},
                        {"images", report.accuracy->images}};
    if (report.accuracy->int8) {
      json["accuracy"]["int8"] = *report.accuracy->int8;
      json["accuracy"]["fp32"] = *report.accuracy->fp32;
    }
  }
  json["energy_pj"] = report.mapping.cost.totals.energy_pj;
  json["latency_ns"] = report.mapping.cost.totals.latency_ns;
  json["int8_energy_pj"] = report.int8_energy_pj;
  if (report.static_pe)
    json["strum_pe"] = {{"static", to_json(*report.static_pe)},
                        {"dynamic", to_json(*report.dynamic_pe)}};
  json["search"] = {{"labels", report.search_labels}, {"evaluations", report.search_evaluations}};
  json["files"] = report.files;
  json["timing"] = {{"seconds", report.seconds}};
  return json;
}

int run_quantize(flow::QuantizeSettings settings, const TargetOptions& target,
                 const CommonOptions& common) {
  settings.search = target_of(target);
  settings.seed = common.seed;
  settings.threads = common.runtime.threads;
  settings.device = common.runtime.device;
  const auto report = flow::quantize_network(settings);
  if (!report) {
    print_result(fmt::format("no choice of formats keeps the target: {}\n", report.error().detail));
    return kNoAnswer;
  }
  if (common.json) {
    print_json(as_json(*report));
  } else {
    print_result(as_text(*report));
  }
  return kDone;
}

}  // namespace

Command add_quantize(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto settings = std::make_shared<flow::QuantizeSettings>();
  auto target = std::make_shared<TargetOptions>();
  CLI::App* command = app.add_subcommand(
      "quantize", "Put weights into fewer bits without training: int4, StruM, …");
  command->add_option("NETWORK", settings->network, "ONNX file")->required();
  command
      ->add_option(
          "--scheme", settings->scheme,
          "int4/a8, int4g32/a8, strum:mip2q,p=0.5,L=7,block=1x16, strum:dliq,p=0.5,q=4,grid=layer, "
          "strum:sparsity,p=0.5, …; with --search a list")
      ->required();
  command->add_option(
      "--data", settings->data,
      "fashion-mnist, cifar10:DIR, idx:DIR or npz:FILE: calibrate, measure top-1 on "
      "the test set, write an ONNX file");
  command
      ->add_option("--hardware", settings->hardware,
                   "Preset or YAML file; its StruM PEs are taken to be built for the scheme")
      ->capture_default_str();
  command->add_option("--out", settings->out, "Folder for mapping, packed weights and ONNX file");
  command
      ->add_option("--keep", settings->keep,
                   "Layers that stay INT8: first, last, depthwise, names; none")
      ->capture_default_str();
  command->add_flag("!--no-baselines", settings->baselines,
                    "Do not measure FP32 and INT8 on the test set, too");
  command->add_flag("--search", target->search,
                    "Choose each layer's format among int8 and the schemes; a single StruM scheme "
                    "stands for several p and L");
  command->add_option("--max-accuracy-loss", target->max_accuracy_loss,
                      "With --search: least energy within this of INT8's validation top-1: 0.5%");
  command->add_option("--min-sqnr", target->min_sqnr,
                      "With --search: least energy with this many dB of pooled SQNR");
  command->add_option("--max-energy", target->max_energy,
                      "With --search: least noise within this energy per image: 120uJ");
  command
      ->add_option("--calibration-images", settings->calibration_images,
                   "Training images from which activation ranges are taken")
      ->check(at_least(1))
      ->capture_default_str();
  command
      ->add_option("--ranges", settings->ranges,
                   "Ranges of activations: minmax, percentile, mse or entropy")
      ->capture_default_str();
  command->add_flag("--equalize", settings->equalize,
                    "Even out the channels of layers that follow each other, first");
  command->add_flag("--bias-correction", settings->bias_correction,
                    "Take out of the biases what quantisation shifts on the calibration images");
  add_common_options(*command, *common, {.seed = true, .runtime = true});
  return {command, common, [=] { return run_quantize(*settings, *target, *common); }};
}

}  // namespace tessera::cli
