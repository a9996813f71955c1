// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/text.h"

namespace tessera::flow {

const config::Schema<MapSettings>& map_schema() {
  using config::boolean, config::integer, config::kNotNegative, config::kPositive, config::measure,
      config::number, config::optional, config::required, config::text;
  using S = MapSettings;
  constexpr config::Range ratio{.min = 0, .max = 1};
  static const config::Schema<S> schema(
      "map", "Settings of `tessera map`.",
      {
          config::constant<S>("version", "1", "Version of these settings."),
          required("network", &S::network, text(), "ONNX file."),
          required("hardware", &S::hardware, text(), "Name of a preset or a YAML file."),
          required("data", &S::data, text(), "fashion-mnist, cifar10:DIR, idx:DIR or npz:FILE."),
          optional("strategy", &S::strategy, text(),
                   "Search method: see `tessera list strategies`."),
          optional("seed", &S::seed, integer<std::uint64_t>(), "Of every random draw."),
          optional("threads", &S::threads, integer<int>({.min = 0, .max = 1024}),
                   "CPU threads; 0: one per core. Results below the torch line depend on it."),
          optional("device", &S::device, text(), "cpu, cuda or cuda:K."),
          optional("formats", &S::formats, text(),
                   "Formats that paths may use, of those that the hardware offers; `analog` for "
                   "any analog one. Empty: all integers where there are spatial units; elsewhere "
                   "fp16, int8, int4/a8 and analog."),
          optional("min-accuracy", &S::min_accuracy, number(ratio),
                   "Least validation top-1 of the chosen mapping, 0 to 1; 0: no limit."),
          optional("min-analog-macs", &S::min_analog_macs, number(ratio),
                   "Least share of MACs on analog units, 0 to 1; 0: no limit."),
          optional("max-energy", &S::max_energy_pj, measure(Dimension::kEnergy, kNotNegative),
                   "Most energy per image; 0 pJ: no limit."),
          optional("max-latency", &S::max_latency_ns, measure(Dimension::kTime, kNotNegative),
                   "Most time per image; 0 ns: no limit."),
          optional("max-minutes", &S::max_minutes, number(kNotNegative),
                   "Wall time after which the search ends with its best so far; 0: no limit. Not "
                   "reproducible."),
          optional("calibration-images", &S::calibration_images, integer<std::int64_t>({.min = 1}),
                   "Training images from which activation ranges are taken."),
          optional("validation-images", &S::validation_images, integer<std::int64_t>({.min = 0}),
                   "Validation images for front and baselines; 0: all."),
          optional("chips", &S::chips, integer<std::int64_t>({.min = 1, .max = 1000}),
                   "Programmed chips per measurement during the search."),
          optional("drift", &S::drift_ns, measure(Dimension::kTime, kPositive),
                   "Time after programming for which the search optimizes."),
          optional("test-images", &S::test_images, integer<std::int64_t>({.min = 0}),
                   "Test images for the chosen mapping; 0: all."),
          optional("test-chips", &S::test_chips, integer<std::int64_t>({.min = 1, .max = 1000}),
                   "Programmed chips for the chosen mapping."),
          optional("test-times", &S::test_times, text(),
                   "Times after programming at which the chosen mapping is measured."),
          optional("test-baselines", &S::test_baselines, boolean(),
                   "Measure the baselines on the test set, too."),
          optional("batch", &S::batch, integer<std::int64_t>({.min = 1}),
                   "Images per training step."),
          optional("learning-rate", &S::learning_rate, number(kPositive),
                   "Peak rate of supernetwork and baselines."),
          optional("distillation", &S::distillation, number(ratio),
                   "Share of the loss that compares with the float network."),
          optional("weight-clip", &S::weight_clip, number(kNotNegative),
                   "Largest weight that training leaves, in units of the root mean square of its "
                   "output channel; 0: no bound."),
          optional("mask-steps", &S::mask_steps, integer<std::int64_t>({.min = 1}),
                   "Training steps over which StruM layers keep their masks; 1: masks follow the "
                   "weights at every step."),
          optional(
              "learned-steps", &S::learned_steps, boolean(),
              "Train the scales of integer layers' weights and inputs, too, wherever a mapping "
              "is trained by itself (LSQ)."),
          optional("fair-steps", &S::fair_steps, integer<std::int64_t>({.min = 0}),
                   "MPS phase 1: strict-fair steps at low strength."),
          optional("ramp-steps", &S::ramp_steps, integer<std::int64_t>({.min = 0}),
                   "MPS phase 2: strict-fair steps with rising noise and quantisation."),
          optional("rounds", &S::rounds, integer<std::int64_t>({.min = 1}),
                   "MPS phase 3: rounds of rank-preserving selection."),
          optional("samples", &S::samples, integer<std::int64_t>({.min = 2}),
                   "Mappings sampled per round."),
          optional("selection-images", &S::selection_images, integer<std::int64_t>({.min = 1}),
                   "Validation images per sampled mapping."),
          optional("selection-chips", &S::selection_chips,
                   integer<std::int64_t>({.min = 1, .max = 1000}),
                   "Programmed chips per sampled mapping."),
          optional("networks", &S::networks, integer<std::int64_t>({.min = 1, .max = 100}),
                   "MPAAS: networks that share the budget, spread in energy from the one given to "
                   "the widest; 1: the widest alone."),
          optional("extra-tiles", &S::extra_tiles, integer<std::int64_t>({.min = 0}),
                   "MPAAS: tiles that wider layers may take beyond those of the network as it is."),
          optional("extra-latency", &S::extra_latency, number(kNotNegative),
                   "MPAAS: share by which glue and digital layers may lengthen the network's time; "
                   "layers on tiles take no longer."),
          optional("widened-steps", &S::widened_steps, integer<std::int64_t>({.min = 0}),
                   "MPAAS: float training steps of each widened network before its search, with "
                   "batch normalization put back meanwhile; 0: none."),
          optional("widened-rate", &S::widened_rate, number(kPositive),
                   "MPAAS: peak rate of that."),
          optional("search-steps", &S::search_steps, integer<std::int64_t>({.min = 0}),
                   "Training steps of searches that do not train a supernetwork; 0: as many images "
                   "as the supernetwork would get."),
          optional("lionheart-threshold", &S::lionheart_threshold, number(ratio),
                   "LionHeart: most validation top-1 to lose against the digital network, 0 to 1."),
          optional("lionheart-patience", &S::lionheart_patience,
                   integer<std::int64_t>({.min = 1, .max = 1000}),
                   "LionHeart: evaluations below the best before a layer's training ends."),
          optional("objectives", &S::objectives, text(),
                   "Searches by ask and tell (nsga2, two-step, hawq, random, exhaustive): two or "
                   "more of accuracy, "
                   "energy, edp, latency, memory."),
          optional("accuracy-by", &S::accuracy_by, text(),
                   "How these measure candidates: `supernetwork` (weights shared by all widths), "
                   "`calibrated` (no training) or `short-training` (each by itself)."),
          optional("supernet-steps", &S::supernet_steps, integer<std::int64_t>({.min = 1}),
                   "Training steps of the supernetwork of all widths."),
          optional("supernet-models", &S::supernet_models,
                   integer<std::int64_t>({.min = 2, .max = 64}),
                   "Models per step of that: the widest, the narrowest, and some drawn."),
          optional(
              "supernet-file", &S::supernet_file, text(),
              "Keeps the trained supernetwork for other runs, on other hardware too; read when "
              "it is there."),
          optional("short-steps", &S::short_steps, integer<std::int64_t>({.min = 1}),
                   "Training steps of each candidate under `short-training`."),
          optional("compare-ways", &S::compare_ways,
                   integer<std::int64_t>({.min = 0, .max = 10000}),
                   "Mappings that all three of these ways measure after the search, to compare how "
                   "they rank them (under `ranks` in run.json's trace); 0: none."),
          optional("population", &S::population, integer<std::int64_t>({.min = 2, .max = 100000}),
                   "Candidates per generation, an even number."),
          optional("evaluations", &S::evaluations, integer<std::int64_t>({.min = 1}),
                   "Candidates in all; the last generation is finished."),
          optional("operators", &S::operators, text(),
                   "Of nsga2: `standard`, or `klhufek` for those of Klhufek et al. (2024)."),
          optional("fixed-ends", &S::fixed_ends, boolean(),
                   "Keep the first and the last layer at their widest."),
          optional("tie-shapes", &S::tie_shapes, boolean(),
                   "Layers of one shape take the same path."),
          optional("warm-programs", &S::warm_programs,
                   integer<std::int64_t>({.min = 0, .max = 1000}),
                   "Energy budgets whose integer program over Hessian sensitivities nsga2 starts "
                   "from, beside uniform widths; 0: none."),
          optional("hessian-images", &S::hessian_images, integer<std::int64_t>({.min = 1}),
                   "Training images of that."),
          optional("hessian-probes", &S::hessian_probes, integer<std::int64_t>({.min = 1}),
                   "Random vectors of that."),
          optional(
              "front-size", &S::front_size, integer<std::int64_t>({.min = 0, .max = 1000}),
              "Of searches by ask and tell: members of the front, spread over it, that are trained "
              "like the chosen mapping, measured on the test set and written to OUT/front."),
          optional(
              "nest-objective", &S::nest_objective, text(),
              "What loop nests on spatial units minimize: energy, delay, edp, lla, or a product "
              "of powers such as energy^2*delay."),
          optional("nest-cache", &S::nest_cache, text(),
                   "File that keeps the loop nests found on spatial units; empty: none."),
          optional("tune-steps", &S::tune_steps, integer<std::int64_t>({.min = 0}),
                   "Training steps of the chosen mapping."),
          optional("tune-rate", &S::tune_rate, number(kPositive), "Peak rate of that."),
          optional(
              "trained-baselines", &S::trained_baselines, boolean(),
              "Train baselines for comparison: noise-aware ones on chips with analog units, one "
              "width everywhere for searches by ask and tell."),
          optional(
              "baseline-steps", &S::baseline_steps, integer<std::int64_t>({.min = 0}),
              "Training steps of each noise-aware one; 0: as many as the chosen mapping gets in "
              "supernetwork and fine-tuning."),
      });
  return schema;
}

MapSettings read_map_settings(const std::optional<std::filesystem::path>& file,
                              const std::map<std::string, std::string>& overrides) {
  config::Document document;
  document.file = file ? file->string() : "command line";
  document.root = config::Node::map();
  if (file)
    document = config::parse_yaml(read_text(*file), document.file);
  if (document.root.kind != config::Node::Kind::kMap)
    document.root = config::Node::map();
  if (!file)
    document.root.set("version", config::Node::scalar("1"));
  for (const auto& [key, value] : overrides) {
    auto& entries = document.root.children;
    std::erase_if(entries, [&](const config::Node& entry) { return entry.key == key; });
    config::Node node = config::Node::scalar(value);
    node.origin = "--" + key;
    document.root.set(key, std::move(node));
  }
  return config::read(document, map_schema());
}

std::string resolved_yaml(const MapSettings& settings) {
  return config::write_yaml(map_schema().dump(settings));
}

std::map<std::string, std::string> settings_by_key(const MapSettings& settings) {
  std::map<std::string, std::string> by_key;
  for (const config::Node& entry : map_schema().dump(settings).children) {
    by_key[entry.key] = entry.text;
  }
  return by_key;
}

std::vector<double> parse_times(const std::string& text) {
  std::vector<double> seconds;
  for (const std::string& item : split(text, ',')) {
    const auto nanoseconds = parse_quantity(item, Dimension::kTime);
    if (!nanoseconds)
      throw UsageError("times: " + nanoseconds.error().detail);
    if (*nanoseconds <= 0)
      throw UsageError(fmt::format("times: '{}' is not above 0", item));
    seconds.push_back(*nanoseconds / 1e9);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

}  // namespace tessera::flow
