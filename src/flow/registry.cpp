// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/registry.h"

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/supernet/mps.h"
#include "tessera/supernet/uniform.h"

namespace tessera::flow {
namespace {

std::unique_ptr<supernet::Strategy> make_mps(const MapSettings& s) {
  return std::make_unique<supernet::Mps>(
      supernet::MpsOptions{.fair_steps = s.fair_steps,
                           .sensitivity_images = s.selection_images,
                           .ramp_steps = s.ramp_steps,
                           .training = {.optimizer = nn::Optimizer::kRelativeAdam,
                                        .batch = s.batch,
                                        .learning_rate = s.learning_rate,
                                        .weight_clip = s.weight_clip,
                                        .distillation = s.distillation},
                           .rounds = s.rounds,
                           .samples_per_round = s.samples,
                           .selection_images = s.selection_images,
                           .selection_chips = s.selection_chips});
}

std::unique_ptr<supernet::Strategy> make_uniform(const MapSettings&) {
  return std::make_unique<supernet::Uniform>();
}

}  // namespace

const std::vector<StrategyEntry>& strategies() {
  static const std::vector<StrategyEntry> entries = {
      {"mps",
       "mixed-precision supernetwork: fair training, noise by sensitivity, rank-preserving "
       "selection",
       make_mps},
      {"uniform", "one format for all layers, no training: each format in turn", make_uniform},
  };
  return entries;
}

const StrategyEntry& find_strategy(std::string_view name) {
  std::vector<std::string> names;
  for (const StrategyEntry& entry : strategies()) {
    if (entry.name == name)
      return entry;
    names.push_back(entry.name);
  }
  throw UsageError("strategy: " + unknown_name("strategy", name, names));
}

}  // namespace tessera::flow
