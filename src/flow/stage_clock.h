// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "tessera/flow/run_folder.h"

namespace tessera::flow {

// Wall time by stage of a run, over all processes that worked on it: what a killed one did after
// its last checkpoint is lost, and so is its time.
class StageClock {
 public:
  // Reads what the folder holds; IoError when that is damaged. `folder` must outlive it.
  explicit StageClock(const RunFolder& folder);

  void start(const std::string& stage);
  // With a checkpoint of the running stage.
  void keep();
  void stop();
  double seconds(const std::string& stage) const;

 private:
  using Clock = std::chrono::steady_clock;

  const RunFolder* folder_;
  std::map<std::string, double> seconds_;  // without the time since begin_
  std::string stage_;                      // running; empty: none
  Clock::time_point begin_;
};

}  // namespace tessera::flow
