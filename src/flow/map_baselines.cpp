// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "tessera/flow/baselines.h"

#include "map_run.h"

namespace tessera::flow {
namespace {

using format::NumberFormat;

bool is_analog(const NumberFormat& f) {
  return std::holds_alternative<format::Analog>(f);
}

auto is_format(NumberFormat wanted) {
  return [wanted = std::move(wanted)](const NumberFormat& f) { return f == wanted; };
}

}  // namespace

std::optional<plan::Cost> MapRun::baseline_cost(const std::string& label,
                                                const plan::Assignment& assignment) {
  auto cost = inputs_.model.evaluate(assignment);
  if (cost)
    return std::move(*cost);
  record_.notes.push_back(
      fmt::format("Baseline '{}' does not fit: {}", label, cost.error().detail));
  return std::nullopt;
}

void MapRun::add_baseline(const std::string& label, const nn::MappedNetwork& mapped,
                          const plan::Cost& cost, bool on_test) {
  std::vector<plan::Accuracy> accuracy = measurements_.once("baseline " + label, [&] {
    return mapped.measure(validation(), inputs_.preprocessing, search_chips(),
                          rng_.split("evaluation"));
  });
  if (on_test) {
    for (plan::Accuracy& row : measurements_.once("baseline test " + label, [&] {
           return mapped.measure(test(), inputs_.preprocessing,
                                 {.chips = settings_.test_chips, .seconds = search_chips().seconds},
                                 rng_.split("test"));
         })) {
      accuracy.push_back(std::move(row));
    }
  }
  add_candidate(label, "baseline", mapped.assignment(), cost, std::move(accuracy));
}

void MapRun::post_training_baselines() {
  progress_.start_phase("baselines without training", 5 * validation_work());
  const auto run_baseline = [&](const std::string& label, const auto& wanted,
                                const auto& otherwise) {
    if (!keep_going())
      return;
    const auto assignment = assign(inputs_.model, wanted, otherwise);
    if (!assignment)
      return;  // the platform does not offer this format
    const auto cost = baseline_cost(label, *assignment);
    if (!cost)
      return;
    add_baseline(label, nn::MappedNetwork(network_, *assignment, inputs_.platform, ranges_), *cost,
                 settings_.test_baselines || label == "fp32");
  };
  const auto never = [](const NumberFormat&) { return false; };
  for (const NumberFormat& format : digital_formats(inputs_.platform)) {
    run_baseline(format::to_string(format), is_format(format), never);
  }
  if (has_analog_unit(inputs_.platform))
    run_baseline("analog, untrained", is_analog, fallback_digital(inputs_.platform));
}

std::vector<std::pair<std::string, plan::Assignment>> MapRun::uniform_assignments() const {
  std::vector<std::pair<std::string, plan::Assignment>> assignments;
  if (!asks_and_tells())
    return assignments;
  for (const NumberFormat& format : digital_formats(inputs_.platform)) {
    const auto* integer = std::get_if<format::Integer>(&format);
    if (integer == nullptr || integer->weight_bits != integer->activation_bits)
      continue;
    plan::Assignment assignment;
    for (const std::vector<plan::Path>& paths : inputs_.space) {
      const auto path = std::find_if(paths.begin(), paths.end(), [&](const plan::Path& p) {
        return p.parts.front().format == format;
      });
      if (path != paths.end())
        assignment.paths.push_back(*path);
    }
    if (assignment.paths.size() == inputs_.space.size())
      assignments.emplace_back(format::to_string(format), std::move(assignment));
  }
  return assignments;
}

void MapRun::trained_baselines() {
  // From the shared weights and for as long as members of the front.
  for (const auto& [format, assignment] : uniform_assignments()) {
    const std::string label = format + ", trained";
    const auto cost = keep_going() ? baseline_cost(label, assignment) : std::nullopt;
    if (!cost)
      continue;
    nn::MappedNetwork mapped(*solution_->network, assignment, inputs_.platform, ranges_);
    mapped.load_kernel_state(solution_->kernel_state);
    mapped = train_mapping("baseline-" + format, std::move(mapped), nullptr, settings_.tune_steps,
                           settings_.tune_rate, "baseline: " + label,
                           train_work(settings_.tune_steps) + validation_work() + test_work());
    if (keep_going())
      add_baseline(label, mapped, *cost, true);
  }
  if (chosen_adapted_)
    widened_baseline();
  if (has_analog_unit(inputs_.platform))
    analog_baselines();
}

void MapRun::analog_baselines() {
  const auto run_baseline = [&](const std::string& label, const std::string& name,
                                const plan::Assignment& assignment) {
    if (!keep_going())
      return;
    const auto cost = baseline_cost(label, assignment);
    if (!cost)
      return;
    const nn::MappedNetwork mapped =
        train_mapping(name, nn::MappedNetwork(network_, assignment, inputs_.platform, ranges_),
                      nullptr, baseline_steps(), settings_.learning_rate, "baseline: " + label,
                      train_work(baseline_steps()));
    if (keep_going())
      add_baseline(label, mapped, *cost, settings_.test_baselines);
  };
  const auto digital = fallback_digital(inputs_.platform);
  const auto analog = assign(inputs_.model, is_analog, digital);
  if (!analog)
    return;
  run_baseline("analog, trained", "baseline-analog", *analog);
  if (const auto ends = ends_digital_assignment(inputs_.model))
    run_baseline("ends digital", "baseline-ends", *ends);
  record_.notes.push_back(
      fmt::format("'ends digital' is analog but for the first and the last layer; it and "
                  "'analog, trained' were trained with noise, {} steps of {} images.",
                  baseline_steps(), settings_.batch));
}

// Whether a gain is that of more parameters alone: the chosen mapping's network in float32, trained
// as long as the other baselines.
void MapRun::widened_baseline() {
  const cost::TiledModel& model = chosen_adapted_->model;
  const auto never = [](const NumberFormat&) { return false; };
  const auto assignment = assign(model, is_format(format::Float{.bits = 32}), never);
  const auto cost = assignment ? model.evaluate(*assignment) : infeasible("path", "no fp32 unit");
  if (!cost || !keep_going())
    return;
  nn::MappedNetwork start(start_of(chosen_adapted_), *assignment, inputs_.platform,
                          chosen_adapted_->ranges);
  if (chosen_adapted_->is_trained)
    add_baseline("fp32, widened", start, *cost, settings_.test_baselines);
  const std::string label = "fp32, widened, trained";
  const nn::MappedNetwork mapped =
      train_mapping("baseline-widened", std::move(start), chosen_adapted_, baseline_steps(),
                    settings_.learning_rate, "baseline: " + label, train_work(baseline_steps()));
  if (keep_going())
    add_baseline(label, mapped, *cost, settings_.test_baselines);
}

}  // namespace tessera::flow
