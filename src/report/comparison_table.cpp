// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "tessera/core/progress.h"
#include "tessera/report/comparison.h"
#include "tessera/report/table.h"

#include "comparison_view.h"
#include "view.h"

namespace tessera::report {

std::string comparison_table(const plan::Comparison& comparison, std::size_t width) {
  Table table({{"strategy"},
               {"volume", Align::kRight},
               {"validation", Align::kRight},
               {"test", Align::kRight},
               {"energy", Align::kRight},
               {"latency", Align::kRight},
               {"weights", Align::kRight},
               {"analog", Align::kRight},
               {"samples", Align::kRight},
               {"search", Align::kRight}});
  for (const detail::StrategyRow& row : detail::strategy_rows(comparison)) {
    const std::string name =
        row.runs == 1 ? row.strategy : fmt::format("{} × {}", row.strategy, row.runs);
    if (row.chosen == 0) {
      table.add_row({name, detail::volume_text(row), "–", "–", "–", "–", "–", "–",
                     detail::count(static_cast<std::int64_t>(row.samples)),
                     format_duration(row.search_seconds)});
      continue;
    }
    table.add_row({name, detail::volume_text(row), detail::accuracy_text(row.validation),
                   detail::accuracy_text(row.test),
                   detail::compact(row.energy_pj, Dimension::kEnergy),
                   detail::compact(row.latency_ns, Dimension::kTime),
                   detail::compact(row.digital_weight_bytes, Dimension::kData),
                   detail::percent(row.analog_mac_ratio, 0),
                   detail::count(static_cast<std::int64_t>(row.samples)),
                   format_duration(row.search_seconds)});
  }
  return table.render(width) + detail::reference_text(comparison) + "\n";
}

}  // namespace tessera::report
