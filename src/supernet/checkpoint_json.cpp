// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_json.h"

#include <fmt/format.h>

#include <torch/types.h>

#include "tessera/core/error.h"

namespace tessera::supernet::detail {
namespace {

constexpr std::string_view kNetwork = "network/";
constexpr std::string_view kKernels = "kernels/";

nn::TensorMap with_prefix(const nn::TensorMap& tensors, const std::string& prefix) {
  nn::TensorMap found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix))
      found[name.substr(prefix.size())] = tensor;
  }
  return found;
}

}  // namespace

nlohmann::json accuracy_to_json(const plan::Accuracy& accuracy) {
  return {{"metric", accuracy.metric},    {"mean", accuracy.mean},
          {"std", accuracy.std},          {"n", accuracy.n},
          {"split", accuracy.split},      {"images", accuracy.images},
          {"t_eval_s", accuracy.t_eval_s}};
}

plan::Accuracy accuracy_from_json(const nlohmann::json& json) {
  return {.metric = json.at("metric"),
          .mean = json.at("mean"),
          .std = json.at("std"),
          .n = json.at("n"),
          .t_eval_s = json.at("t_eval_s"),
          .split = json.at("split"),
          .images = json.at("images")};
}

nlohmann::json assignment_to_json(const plan::Assignment& assignment) {
  nlohmann::json paths = nlohmann::json::array();
  for (const plan::Path& path : assignment.paths) {
    nlohmann::json& parts = paths.emplace_back(nlohmann::json::array());
    for (const plan::Part& part : path.parts) {
      parts.push_back(
          {part.unit, format::to_string(part.format), part.channels.begin, part.channels.end});
    }
  }
  return paths;
}

plan::Assignment assignment_from_json(const nlohmann::json& json) {
  plan::Assignment assignment;
  for (const auto& parts : json) {
    plan::Path& path = assignment.paths.emplace_back();
    for (const auto& part : parts) {
      const auto format = format::parse_number_format(part.at(1).get<std::string>());
      if (!format)
        throw IoError("checkpoint: " + format.error().detail);
      path.parts.push_back({part.at(0), *format, {part.at(2), part.at(3)}});
    }
  }
  return assignment;
}

nlohmann::json trace_to_json(const std::vector<plan::TracePoint>& trace) {
  nlohmann::json rows = nlohmann::json::array();
  for (const plan::TracePoint& point : trace)
    rows.push_back({point.phase, point.step, point.quantity, point.value});
  return rows;
}

std::vector<plan::TracePoint> trace_from_json(const nlohmann::json& json) {
  std::vector<plan::TracePoint> trace;
  for (const auto& row : json)
    trace.push_back({row.at(0), row.at(1), row.at(2), row.at(3)});
  return trace;
}

void add_weights(const Weights& weights, const std::string& prefix, nn::TensorMap& tensors) {
  for (const auto& [name, tensor] : weights.network)
    tensors[fmt::format("{}{}{}", prefix, kNetwork, name)] = tensor;
  for (const auto& [name, tensor] : weights.kernels)
    tensors[fmt::format("{}{}{}", prefix, kKernels, name)] = tensor;
}

Weights read_weights(const nn::TensorMap& tensors, const std::string& prefix) {
  return {.network = with_prefix(tensors, fmt::format("{}{}", prefix, kNetwork)),
          .kernels = with_prefix(tensors, fmt::format("{}{}", prefix, kKernels))};
}

void restore(Observer& observer, std::string_view name,
             const std::function<void(const nlohmann::json&, const nn::TensorMap&)>& read) {
  const auto checkpoint = observer.load(name);
  if (!checkpoint)
    return;
  try {
    read(nlohmann::json::parse(checkpoint->json), checkpoint->tensors);
  } catch (const nlohmann::json::exception& broken) {
    throw IoError(fmt::format("checkpoint '{}' is damaged: {}", name, broken.what()));
  }
}

}  // namespace tessera::supernet::detail
