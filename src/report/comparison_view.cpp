// SPDX-License-Identifier: Apache-2.0
#include "comparison_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "view.h"

namespace tessera::report::detail {
namespace {

struct Moments {
  double mean = 0;
  double std = 0;  // sample standard deviation; 0 for one
};

Moments moments(const std::vector<double>& values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  for (const double value : values)
    m.mean += value / n;
  for (const double value : values)
    m.std += (value - m.mean) * (value - m.mean);
  m.std = values.size() > 1 ? std::sqrt(m.std / (n - 1)) : 0;
  return m;
}

MeanAccuracy mean_accuracy(const std::vector<plan::Accuracy>& all) {
  if (all.empty())
    return {};
  if (all.size() == 1)
    return {.mean = all[0].mean, .std = all[0].std, .n = 1};
  std::vector<double> means;
  for (const plan::Accuracy& accuracy : all)
    means.push_back(accuracy.mean);
  const Moments m = moments(means);
  return {.mean = m.mean, .std = m.std, .n = static_cast<int>(all.size())};
}

StrategyRow row_of(const std::vector<const plan::ComparedRun*>& runs) {
  StrategyRow row{.strategy = runs.front()->strategy, .runs = static_cast<int>(runs.size())};
  std::vector<double> volumes;
  std::vector<plan::Accuracy> validation;
  std::vector<plan::Accuracy> test;
  std::vector<const plan::Totals*> totals;
  for (const plan::ComparedRun* run : runs) {
    volumes.push_back(run->hypervolume);
    row.samples += static_cast<double>(run->training_samples) / row.runs;
    row.search_seconds += run->search_seconds / row.runs;
    const plan::ComparedMapping* chosen = plan::chosen_mapping(*run);
    if (chosen == nullptr)
      continue;
    ++row.chosen;
    validation.push_back(chosen->validation);
    if (chosen->test)
      test.push_back(*chosen->test);
    totals.push_back(&chosen->totals);
  }
  const Moments volume = moments(volumes);
  row.hypervolume = volume.mean;
  row.hypervolume_std = volume.std;
  row.validation = mean_accuracy(validation);
  row.test = mean_accuracy(test);
  for (const plan::Totals* t : totals) {
    row.energy_pj += t->energy_pj / row.chosen;
    row.latency_ns += t->latency_ns / row.chosen;
    row.digital_weight_bytes += static_cast<double>(t->digital_weight_bytes) / row.chosen;
    row.analog_mac_ratio += t->analog_mac_ratio / row.chosen;
  }
  return row;
}

}  // namespace

std::vector<StrategyRow> strategy_rows(const plan::Comparison& comparison) {
  std::vector<StrategyRow> rows;
  for (const plan::ComparedRun& first : comparison.runs) {
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const StrategyRow& row) {
      return row.strategy == first.strategy;
    });
    if (known)
      continue;
    std::vector<const plan::ComparedRun*> runs;
    for (const plan::ComparedRun& run : comparison.runs) {
      if (run.strategy == first.strategy)
        runs.push_back(&run);
    }
    rows.push_back(row_of(runs));
  }
  return rows;
}

std::string volume_text(const StrategyRow& row) {
  return row.runs > 1 ? fmt::format("{:.4f} ± {:.4f}", row.hypervolume, row.hypervolume_std)
                      : fmt::format("{:.4f}", row.hypervolume);
}

std::string accuracy_text(const MeanAccuracy& accuracy) {
  if (accuracy.n == 0)
    return "–";
  plan::Accuracy shown;
  shown.mean = accuracy.mean;
  shown.std = accuracy.std;
  shown.n = accuracy.std > 0 ? 2 : 1;
  return mean_and_std(shown);
}

std::string reference_text(const plan::Comparison& comparison) {
  const plan::HypervolumeReference& r = comparison.reference;
  return fmt::format(
      "volume: share of the box between {} validation accuracy, {}, {}, {} and the ideal that the "
      "mappings dominate\nchosen mapping, {} after programming; ± over seeds, of one seed over "
      "chips; budget {} training images a run",
      percent(r.accuracy), compact(r.energy_pj, Dimension::kEnergy),
      compact(r.latency_ns, Dimension::kTime), compact(r.digital_weight_bytes, Dimension::kData),
      time_title(comparison.t_eval_s), count(comparison.budget_samples));
}

}  // namespace tessera::report::detail
