// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "tessera/report/comparison.h"

#include "view.h"

namespace tessera::report {
namespace {

using detail::csv_field;

std::string accuracy_cells(const plan::Accuracy* accuracy) {
  if (accuracy == nullptr)
    return ",,,";
  return fmt::format("{},{},{},{}", accuracy->mean, accuracy->std, accuracy->n, accuracy->images);
}

const plan::Accuracy* test_of(const plan::ComparedMapping* mapping) {
  return mapping != nullptr && mapping->test ? &*mapping->test : nullptr;
}

std::string cost_cells(const plan::Totals& t) {
  return fmt::format("{},{},{},{},{},{}", t.energy_pj, t.latency_ns, t.digital_weight_bytes,
                     t.analog_mac_ratio, t.analog_utilization, t.tiles);
}

constexpr std::string_view kCostHead =
    "energy_pj,latency_ns,digital_weight_bytes,analog_mac_ratio,analog_utilization,tiles";
constexpr std::string_view kAccuracyHead =
    "validation_mean,validation_std,validation_chips,validation_images,test_mean,test_std,"
    "test_chips,test_images";

}  // namespace

std::string comparison_csv(const plan::Comparison& comparison) {
  std::string out = fmt::format("strategy,seed,label,dominated,{},{}\n", kCostHead, kAccuracyHead);
  for (const plan::ComparedRun& run : comparison.runs) {
    for (const plan::ComparedMapping& mapping : run.mappings) {
      out += fmt::format("{},{},{},{},{},{},{}\n", csv_field(run.strategy), run.seed,
                         csv_field(mapping.label), mapping.dominated ? 1 : 0,
                         cost_cells(mapping.totals), accuracy_cells(&mapping.validation),
                         accuracy_cells(test_of(&mapping)));
    }
  }
  return out;
}

std::string comparison_summary_csv(const plan::Comparison& comparison) {
  std::string out = fmt::format(
      "strategy,seed,status,mappings,hypervolume,{},{},evaluations,search_samples,"
      "training_samples,search_seconds,seconds\n",
      kCostHead, kAccuracyHead);
  for (const plan::ComparedRun& run : comparison.runs) {
    const plan::ComparedMapping* chosen = plan::chosen_mapping(run);
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(run.strategy),
                       run.seed, run.status, run.mappings.size(), run.hypervolume,
                       chosen == nullptr ? ",,,,," : cost_cells(chosen->totals),
                       accuracy_cells(chosen == nullptr ? nullptr : &chosen->validation),
                       accuracy_cells(test_of(chosen)), run.evaluations, run.search_samples,
                       run.training_samples, run.search_seconds, run.seconds);
  }
  return out;
}

}  // namespace tessera::report
