// SPDX-License-Identifier: Apache-2.0
#include "tessera/report/csv.h"

#include <fmt/format.h>

#include <vector>

#include "view.h"

namespace tessera::report {

using detail::csv_field;

std::string pareto_csv(const plan::RunRecord& record) {
  std::string out =
      "label,kind,energy_pj,latency_ns,area_mm2,digital_weight_bytes,analog_weight_fraction,"
      "analog_mac_ratio,analog_utilization,tiles,metric,split,t_eval_s,mean,std,n,images\n";
  for (const plan::Candidate& candidate : detail::candidates(record)) {
    const plan::Totals& t = candidate.totals;
    // fmt's "{}" of a double is the shortest text that reads back to the same value.
    const std::string costs = fmt::format(
        "{},{},{},{},{},{},{},{},{},{}", csv_field(candidate.label), csv_field(candidate.kind),
        t.energy_pj, t.latency_ns, t.area_mm2, t.digital_weight_bytes, t.analog_weight_fraction,
        t.analog_mac_ratio, t.analog_utilization, t.tiles);
    if (candidate.accuracy.empty())
      out += costs + ",,,,,,,\n";
    for (const plan::Accuracy& a : candidate.accuracy) {
      out += fmt::format("{},{},{},{},{},{},{},{}\n", costs, csv_field(a.metric),
                         csv_field(a.split), a.t_eval_s, a.mean, a.std, a.n, a.images);
    }
  }
  return out;
}

}  // namespace tessera::report
