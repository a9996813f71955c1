// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tessera/plan/run_record.h"

namespace tessera::report {

// pareto.csv: one line for each accuracy measurement of each mapping (one without accuracy for a
// mapping that was not measured), in the record's order, with a head line:
//
//   label,kind,energy_pj,latency_ns,area_mm2,digital_weight_bytes,analog_weight_fraction,
//   analog_mac_ratio,analog_utilization,tiles,metric,split,t_eval_s,mean,std,n,images
//
// Numbers are written so that reading them gives the same double. Quoting as in RFC 4180, lines end
// in '\n'.
std::string pareto_csv(const plan::RunRecord& record);

}  // namespace tessera::report
