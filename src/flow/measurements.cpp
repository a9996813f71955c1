// SPDX-License-Identifier: Apache-2.0
#include "measurements.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "tessera/core/error.h"

namespace tessera::flow {
namespace {

constexpr std::string_view kCheckpoint = "results";

}  // namespace

Measurements::Measurements(const RunFolder& folder) : folder_(&folder) {
  const auto checkpoint = folder.load(kCheckpoint);
  if (!checkpoint)
    return;
  try {
    const auto json = nlohmann::json::parse(checkpoint->json);
    for (const auto& [label, rows] : json.items()) {
      for (const auto& row : rows) {
        results_[label].push_back({.mean = row.at("mean"),
                                   .std = row.at("std"),
                                   .n = row.at("n"),
                                   .t_eval_s = row.at("t_eval_s"),
                                   .split = row.at("split"),
                                   .images = row.at("images")});
      }
    }
  } catch (const nlohmann::json::exception& broken) {
    throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kCheckpoint, broken.what()));
  }
}

std::vector<plan::Accuracy> Measurements::once(
    const std::string& label, const std::function<std::vector<plan::Accuracy>()>& work) {
  const auto found = results_.find(label);
  if (found != results_.end())
    return found->second;
  std::vector<plan::Accuracy> rows = work();
  results_[label] = rows;
  save();
  return rows;
}

void Measurements::save() const {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [label, rows] : results_) {
    for (const plan::Accuracy& row : rows) {
      json[label].push_back({{"mean", row.mean},
                             {"std", row.std},
                             {"n", row.n},
                             {"t_eval_s", row.t_eval_s},
                             {"split", row.split},
                             {"images", row.images}});
    }
  }
  folder_->save(kCheckpoint, {.tensors = {}, .json = json.dump()});
}

}  // namespace tessera::flow
