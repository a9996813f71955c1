// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the checkpoints of several methods have in common.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/plan/mapping.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet::detail {

nlohmann::json accuracy_to_json(const plan::Accuracy& accuracy);
plan::Accuracy accuracy_from_json(const nlohmann::json& json);

nlohmann::json assignment_to_json(const plan::Assignment& assignment);
// Throws nlohmann::json::exception, or IoError for a format that is none.
plan::Assignment assignment_from_json(const nlohmann::json& json);

nlohmann::json trace_to_json(const std::vector<plan::TracePoint>& trace);
std::vector<plan::TracePoint> trace_from_json(const nlohmann::json& json);

// Weights as tensors of a checkpoint whose names start with `prefix`, and back.
void add_weights(const Weights& weights, const std::string& prefix, nn::TensorMap& tensors);
Weights read_weights(const nn::TensorMap& tensors, const std::string& prefix);

// Calls `read` with the checkpoint of this name, if there is one. Throws IoError that names it when
// its JSON is damaged.
void restore(Observer& observer, std::string_view name,
             const std::function<void(const nlohmann::json&, const nn::TensorMap&)>& read);

}  // namespace tessera::supernet::detail
