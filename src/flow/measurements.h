// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tessera/flow/run_folder.h"
#include "tessera/plan/mapping.h"

namespace tessera::flow {

// Accuracies that a run has measured, kept in its folder by label, so that a continued run does not
// measure them again.
class Measurements {
 public:
  // Reads what the folder holds; IoError when that is damaged. `folder` must outlive it.
  explicit Measurements(const RunFolder& folder);

  // What `work` gave when it first ran under this label.
  std::vector<plan::Accuracy> once(const std::string& label,
                                   const std::function<std::vector<plan::Accuracy>()>& work);

 private:
  void save() const;

  const RunFolder* folder_;
  std::map<std::string, std::vector<plan::Accuracy>> results_;
};

}  // namespace tessera::flow
