// SPDX-License-Identifier: Apache-2.0
#include "stage_clock.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "tessera/core/error.h"

namespace tessera::flow {
namespace {

constexpr std::string_view kCheckpoint = "seconds";

}  // namespace

StageClock::StageClock(const RunFolder& folder) : folder_(&folder) {
  const auto checkpoint = folder.load(kCheckpoint);
  if (!checkpoint)
    return;
  try {
    seconds_ = nlohmann::json::parse(checkpoint->json).get<std::map<std::string, double>>();
  } catch (const nlohmann::json::exception& broken) {
    throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kCheckpoint, broken.what()));
  }
}

void StageClock::start(const std::string& stage) {
  stage_ = stage;
  begin_ = Clock::now();
}

void StageClock::keep() {
  if (stage_.empty())
    return;
  const Clock::time_point now = Clock::now();
  seconds_[stage_] += std::chrono::duration<double>(now - begin_).count();
  begin_ = now;
  folder_->save(kCheckpoint, {.tensors = {}, .json = nlohmann::json(seconds_).dump()});
}

void StageClock::stop() {
  keep();
  stage_.clear();
}

double StageClock::seconds(const std::string& stage) const {
  const auto found = seconds_.find(stage);
  return found == seconds_.end() ? 0 : found->second;
}

}  // namespace tessera::flow
